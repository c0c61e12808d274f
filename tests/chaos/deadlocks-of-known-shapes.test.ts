import assert from "node:assert/strict";
import { createTenant, createWorker, submit, succeeded } from "../support/actors.ts";
import { Connections, startStep } from "../support/connections.ts";
import { service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";
import { placeJobs } from "../support/places.ts";

Deno.test("a hello with new capabilities and a forgotten job does not deadlock with a new class of the same concurrency key", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 4);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, { concurrency_key: "k" });
  await worker.claim();

  // Whoever holds the matching lock keeps the hello waiting for it; the hello holds the key by then, if it takes it first.
  const gate = await connections.transaction();
  await gate.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "gate", requires: ["gate"] }] });
  const args = { worker: { capabilities: ["new"], listening: false }, running: [] };
  const hello = await startStep(db, connections, (tx) => tx.call(worker.actor, "hello", args));
  const jobs = [{ type: "test", requires: ["new"], concurrency_key: "k" }];
  await gate.call(service, "submit_jobs", { caller: tenant.caller, jobs });
  await gate.commit();
  await hello.committed;
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a revocation does not deadlock with a new class of the concurrency key that the worker's job held", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 4);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, { concurrency_key: "k" });
  await worker.claim();

  const gate = await connections.transaction();
  await gate.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "gate", requires: ["gate"] }] });
  const args = { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id };
  const revoked = await startStep(db, connections, (tx) => tx.call(service, "revoke_worker", args));
  await gate.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test", concurrency_key: "k" }] });
  await gate.commit();
  await revoked.committed;
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a cancel that meets jobs changing hands does not deadlock with their workers", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 6);
  const tenant = await createTenant(db);
  const first = await createWorker(db, tenant, { capabilities: ["first"], listening: true, slots: 2 });
  const second = await createWorker(db, tenant, { capabilities: ["second"] });
  const third = await createWorker(db, tenant, { capabilities: ["third"] });
  const [own] = await submit(db, tenant, { requires: ["first"], concurrency_key: "k", concurrency_limit: 9 });
  const [ownAttempt] = await first.claim();
  assert.equal(ownAttempt!.job_id, own.id);

  // The cancel comes to one that the test holds; meanwhile another is pushed to the first worker, and one is the second's.
  const waiting = await submit(
    db,
    tenant,
    ...Array(3).fill({ run_at: "2027-01-01T00:00:00Z", concurrency_key: "k", concurrency_limit: 9 }),
  );
  const [gateId, pushedId, takenId] = waiting.map((job) => job.id).sort();
  const gate = await connections.transaction();
  const classOf = async (name: string) => {
    await submit(db, tenant, { requires: [name], run_at: "2027-01-01T00:00:00Z" });
    const [row] = await db.sql`select id from muster.job_classes where requires = ${[name]}`;
    return row!.id;
  };
  const queue = async (id: string, name: string, key: string | null) => {
    await db.sql`update muster.jobs set status = 'queued', queued_at = created_at, concurrency_key = ${key},
      class_id = ${await classOf(name)} where id = ${id}`;
    await placeJobs(db.sql, [id]);
  };
  await queue(gateId!, "third", null);
  const [held] = await third.claim();
  assert.equal(held!.job_id, gateId);
  const events = [{ ...held, number: 1, kind: "log", data: {} }];
  assert.equal((await gate.call(third.actor, "report_events", { events })).accepted, 1);
  const cancel = await startStep(
    db,
    connections,
    (tx) => tx.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [gateId, pushedId, takenId] }),
  );
  assert.equal(cancel.isDone(), false);

  await queue(takenId!, "second", "k");
  const [taken] = await second.claim();
  await queue(pushedId!, "first", "k");
  await db.call(service, "tick");
  const [pushed] = await db.sql`select status, worker_id from muster.jobs where id = ${pushedId!}`;
  assert.deepEqual([pushed!.status, pushed!.worker_id], ["assigned", first.id]);

  // The first worker gets the key before the second, and then wants the job that the cancel holds.
  const lock = await connections.sql.reserve();
  await lock`begin`;
  await lock`select from muster.concurrency_keys where key = 'k' for no key update`;
  const one = await startStep(
    db,
    connections,
    (tx) => tx.call(first.actor, "complete_jobs", { results: [succeeded(ownAttempt!)], want: 2 }),
  );
  const two = await startStep(
    db,
    connections,
    (tx) => tx.call(second.actor, "complete_jobs", { results: [succeeded(taken!)], want: 0 }),
  );
  assert.deepEqual([one.isDone(), two.isDone()], [false, false]);
  await gate.commit();
  await lock`commit`;
  lock.release();
  const outcomes = await Promise.allSettled([cancel.committed, one.committed, two.committed]);
  assert.deepEqual(outcomes.flatMap((outcome) => outcome.status === "rejected" ? [String(outcome.reason)] : []), []);
});

Deno.test("a tick that excuses silent workers does not deadlock with one of them that is going idle", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 4);
  const tenant = await createTenant(db);
  await createWorker(db, tenant, { capabilities: ["pushed"], listening: true });
  const goingIdle = await createWorker(db, tenant, { capabilities: ["late"] });
  const beating = await createWorker(db, tenant, { capabilities: [] });
  // Pushed and not taken up: the tick takes it back, and takes the tenant lock for that.
  await submit(db, tenant, { requires: ["pushed"] });
  // Within 10 s of the end of an idle worker's lease.
  await db.advance(85, { asOutage: true });

  const submission = await connections.transaction();
  await submission.call(service, "submit_jobs", {
    caller: tenant.caller,
    jobs: [{ type: "test", requires: ["late"] }],
  });
  const completion = await startStep(
    db,
    connections,
    (tx) => tx.call(goingIdle.actor, "complete_jobs", { results: [], want: 1 }),
  );
  const beat = await startStep(db, connections, (tx) => tx.call(beating.actor, "heartbeat", { running: [] }));
  assert.deepEqual([completion.isDone(), beat.isDone()], [false, false]);
  await submission.commit();
  const outcomes = await Promise.allSettled([completion.committed, beat.committed]);
  assert.deepEqual(outcomes.flatMap((outcome) => outcome.status === "rejected" ? [String(outcome.reason)] : []), []);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a heartbeat that misses one job and tells of another does not deadlock with a report of both", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 4);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, {}, {});
  const [told, missed] = (await worker.claim(2)).sort((a, b) => a.job_id < b.job_id ? -1 : 1);
  const eventOf = ({ job_id, attempt }: typeof told & object, number: number) => ({
    job_id,
    attempt,
    number,
    kind: "log",
    data: {},
  });

  // Who announces a file of the first job keeps the report waiting for it, before it comes to the second.
  const gate = await connections.transaction();
  const artifact = { name: "a", size_bytes: 1, sha256: "0".repeat(64), job_id: told!.job_id, attempt: told!.attempt };
  await gate.call(worker.actor, "create_artifact", { caller: null, artifact });
  const events = [eventOf(told!, 1), eventOf(missed!, 1)];
  const report = await startStep(db, connections, (tx) => tx.call(worker.actor, "report_events", { events }));
  const running = [{ job_id: told!.job_id, attempt: told!.attempt }];
  const beat = await startStep(
    db,
    connections,
    (tx) => tx.call(worker.actor, "heartbeat", { running, events: [eventOf(told!, 2)] }),
  );
  assert.deepEqual([report.isDone(), beat.isDone()], [false, false]);
  await gate.commit();
  await Promise.all([report.committed, beat.committed]);
  assert.deepEqual(await violations(db.sql), []);
});
