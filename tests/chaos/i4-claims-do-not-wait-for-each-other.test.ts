import assert from "node:assert/strict";
import { createTenant, createWorker, submit } from "../support/actors.ts";
import { Connections, startStep } from "../support/connections.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("a claim passes over the job that another one is taking, and takes the next without waiting", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 2);
  const tenant = await createTenant(db);
  const [one, two] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  const [first, second] = await submit(db, tenant, {}, {});

  const open = await connections.transaction();
  const { jobs: taken } = await open.call(one.actor, "claim_jobs", { want: 1 });
  const other = await startStep(db, connections, (tx) => tx.call(two.actor, "claim_jobs", { want: 1 }));
  assert.ok(other.isDone(), "the second claim waits for the first");
  const { jobs: next } = await other.committed;
  await open.commit();
  assert.deepEqual([taken[0].job_id, next[0].job_id], [first.id, second.id]);
});

Deno.test("a push passes over the worker whose row is locked, and gives its job to the next without waiting", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 2);
  const tenant = await createTenant(db);
  const workers = [
    await createWorker(db, tenant, { listening: true }),
    await createWorker(db, tenant, { listening: true }),
  ].sort((a, b) => a.id < b.id ? -1 : 1);

  // The idle one of the lower id would be the first choice.
  const open = await connections.transaction();
  await open.call(workers[0]!.actor, "heartbeat", { running: [] });
  const args = { caller: tenant.caller, jobs: [{ type: "test" }] };
  const submitted = await startStep(db, connections, (tx) => tx.call(service, "submit_jobs", args));
  assert.ok(submitted.isDone(), "the submission waits for a worker's heartbeat");
  const { jobs } = await submitted.committed;
  await open.commit();
  assert.equal(jobs[0].job.worker_id, workers[1]!.id);
});
