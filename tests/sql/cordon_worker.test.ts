import assert from "node:assert/strict";
import { auditEntries, createTenant, createWorker, getJob, submit, succeeded } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("cordon_worker() gives a worker nothing new, pushed or asked for, and leaves it online", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2, listening: true });
  await submit(db, tenant, {});
  const [held] = await worker.claim(0);
  const cordon = () => db.call(service, "cordon_worker", { caller: tenant.caller, worker_id: worker.id });
  const shown = await cordon();
  assert.deepEqual([shown.status, shown.cordoned_at], ["online", "2026-01-01T00:00:00.000000Z"]);
  await db.advance(1);
  assert.equal((await cordon()).cordoned_at, "2026-01-01T00:00:00.000000Z");
  const [next] = await submit(db, tenant, {});
  assert.equal(next.status, "queued");
  assert.deepEqual(await worker.claim(1), []);
  const running = [{ job_id: held!.job_id, attempt: held!.attempt }];
  const beat = await worker.heartbeat({ running, want: 1, listening: true });
  assert.deepEqual([beat.jobs, beat.stop, beat.commands], [[], [], []]);
  const { outcomes, jobs } = await worker.complete([succeeded(held!)], 1);
  assert.deepEqual([outcomes[0].outcome, jobs], ["accepted", []]);
  // It lasts across a restart.
  await worker.hello({ slots: 2 });
  assert.deepEqual(await worker.claim(1), []);
  assert.equal((await getJob(db, tenant, next.id)).status, "queued");

  const back = await db.call(service, "uncordon_worker", { caller: tenant.caller, worker_id: worker.id });
  assert.deepEqual([back.status, back.cordoned_at], ["online", null]);
  assert.equal((await worker.claim(1))[0]!.job_id, next.id);
  assert.deepEqual(
    (await auditEntries(db, tenant, "worker.")).map(({ action }) => action).filter((action) => /cordon/.test(action)),
    ["worker.cordoned", "worker.cordoned", "worker.uncordoned"],
  );
});

Deno.test("uncordon_worker() pushes what waits to a worker that listens", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  const args = { caller: tenant.caller, worker_id: worker.id };
  await db.call(service, "cordon_worker", args);
  const [job] = await submit(db, tenant, {});
  await db.call(service, "uncordon_worker", args);
  const after = await getJob(db, tenant, job.id);
  assert.deepEqual([after.status, after.worker_id], ["assigned", worker.id]);
});

Deno.test("a cordon and a drain are told apart: each lasts until it is ended itself", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const args = { caller: tenant.caller, worker_id: worker.id };
  await submit(db, tenant, {});
  await db.call(service, "cordon_worker", args);
  await db.call(service, "drain_worker", args);
  const resumed = await db.call(service, "resume_worker", args);
  assert.deepEqual([resumed.status, resumed.cordoned_at !== null], ["online", true]);
  assert.deepEqual(await worker.claim(), []);
  await db.call(service, "drain_worker", args);
  const uncordoned = await db.call(service, "uncordon_worker", args);
  assert.deepEqual([uncordoned.status, uncordoned.cordoned_at], ["draining", null]);
  assert.deepEqual(await worker.claim(), []);
  await db.call(service, "resume_worker", args);
  assert.equal((await worker.claim()).length, 1);
});

Deno.test("a claim that races with a cordon gets its jobs before it, or none", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, {});
  await using operator = await db.transaction();
  await operator.call(service, "cordon_worker", { caller: tenant.caller, worker_id: worker.id });
  await using claim = await db.transaction();
  const waiting = claim.call(worker.actor, "claim_jobs", { want: 1 });
  await db.untilBlocked(claim.pid);
  await operator.commit();
  assert.deepEqual((await waiting).jobs, []);
});
