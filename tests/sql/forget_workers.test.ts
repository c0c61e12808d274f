import assert from "node:assert/strict";
import {
  auditEntries,
  createMember,
  createTenant,
  createWorker,
  fileOf,
  getJob,
  queryAs,
  refused,
  sha256,
  submit,
  succeeded,
  type TestTenant,
  tick,
} from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("forget_workers() forgets an ephemeral worker half a minute after its goodbye, and no other", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [gone, busy, lasting] = [
    await createWorker(db, tenant, { ephemeral: true }),
    await createWorker(db, tenant, { ephemeral: true }),
    await createWorker(db, tenant),
  ];
  await db.call(gone.actor, "goodbye");
  await db.call(lasting.actor, "goodbye");
  await pass(db, 29, busy);
  assert.deepEqual(await listed(db, tenant), [gone.id, busy.id, lasting.id].sort());
  await pass(db, 1, busy);
  assert.deepEqual(await listed(db, tenant), [busy.id, lasting.id].sort());
  await pass(db, 3600, busy);
  assert.deepEqual(await listed(db, tenant), [busy.id, lasting.id].sort());
});

Deno.test("forget_workers() forgets an ephemeral worker ten minutes after it fell silent, or never came", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const silent = await createWorker(db, tenant, { ephemeral: true });
  const absent = await createWorker(db, tenant, { ephemeral: true, online: false });
  await pass(db, 91);
  await pass(db, 508);
  assert.deepEqual(await listed(db, tenant), [silent.id, absent.id].sort());
  await pass(db, 1);
  assert.deepEqual(await listed(db, tenant), [silent.id]);
  await pass(db, 91);
  assert.deepEqual(await listed(db, tenant), []);
});

Deno.test("forget_workers() leaves a worker that came back in time", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { ephemeral: true });
  await db.call(worker.actor, "goodbye");
  await pass(db, 20);
  await worker.hello();
  await pass(db, 60, worker);
  assert.deepEqual(await listed(db, tenant), [worker.id]);
});

Deno.test("forget_workers() keeps the history of a worker's jobs, files and late results", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { ephemeral: true, slots: 2 });
  const [job, late] = await submit(db, tenant, {}, { attempt_timeout_seconds: 1, max_attempts: 1 });
  const held = await worker.claim(2);
  const attempt = held.find((each) => each.job_id === job!.id)!;
  const file = fileOf("hello");
  const { id: artifact_id } = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...file, job_id: job!.id, attempt: attempt.attempt },
  });
  await db.call(service, "finish_artifact", { artifact_id, size_bytes: file.size_bytes, sha256: file.sha256 });
  await worker.complete([succeeded(attempt, { done: true })]);
  await pass(db, 2, worker);
  await worker.complete([succeeded(held.find((each) => each.job_id === late!.id)!)]);
  await db.call(worker.actor, "goodbye");
  await pass(db, 30);
  assert.deepEqual(await listed(db, tenant), []);

  const kept = await getJob(db, tenant, job!.id);
  assert.deepEqual([kept.status, kept.worker_id, kept.result], ["succeeded", worker.id, { done: true }]);
  assert.match(kept.worker_name, /^worker-/);
  const { artifacts } = await db.call(service, "list_artifacts", { caller: tenant.caller, job_id: job!.id });
  assert.equal(artifacts.length, 1);
  const { late_results } = await getJob(db, tenant, late!.id);
  assert.equal(late_results[0].worker_id, worker.id);
});

Deno.test("forget_workers() makes every token and proof of the worker void, and the key may enroll as another worker", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { ephemeral: true });
  const fingerprint = (worker.actor.claims as Answer).cnf.jkt;
  await db.call(worker.actor, "goodbye");
  await pass(db, 30);

  await refused(worker.hello(), "MU001");
  const proof = () => ({ proof_jti: crypto.randomUUID(), proof_expires_at: "2100-01-01T00:00:00Z" });
  await refused(db.call(service, "refresh_worker", { worker_id: worker.id, fingerprint, ...proof() }), "MU012");
  for (const name of ["get_worker", "drain_worker", "resume_worker", "revoke_worker"]) {
    const caller = { kind: "service", tenant_id: tenant.id };
    await refused(db.call(service, name, { caller, worker_id: worker.id }), "MU003", name);
  }
  const { actor } = await createMember(db, tenant, "viewer");
  assert.deepEqual(await queryAs(db, actor, "select id from muster.worker_devices"), []);
  const topic = `worker:${worker.id}:tasks`;
  const may = await db.sql.begin(async (tx) => {
    await tx`select set_config('request.jwt.claims', ${JSON.stringify(worker.actor.claims)}, true)`;
    return await tx`select muster_private.may_use_topic(${topic}, 'broadcast', false) as may`;
  });
  assert.equal(may[0]!["may"], false);

  const token_hash = sha256(crypto.randomUUID());
  await db.call(service, "create_enrollment_token", { tenant_id: tenant.id, name: "again", token_hash });
  const again = await db.call(service, "enroll_worker", {
    token_hash,
    worker: { public_jwk: { kty: "EC" }, fingerprint, capabilities: [], ...proof() },
  });
  assert.notEqual(again.worker_id, worker.id);
});

Deno.test("forget_workers() leaves no trace that costs matching or the tick anything, and notes it in the audit log", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { ephemeral: true });
  const [job] = await submit(db, tenant, {});
  await worker.complete([succeeded((await worker.claim())[0]!)]);
  await db.call(worker.actor, "goodbye");
  await pass(db, 30);
  // A class that is new matches no forgotten worker either.
  await submit(db, tenant, { priority: 1 }, { requires: [] });
  const [left] = await db.sql`
    select (select count(*) from muster.worker_classes)::integer as classes,
      (select count(*) from muster.worker_heartbeats)::integer as heartbeats`;
  assert.deepEqual({ ...left }, { classes: 0, heartbeats: 0 });
  const entries = await auditEntries(db, tenant, "worker.forgotten");
  assert.deepEqual(entries.map(({ actor, subject }) => ({ actor, subject })), [
    { actor: { kind: "system" }, subject: worker.id },
  ]);
  assert.equal((await getJob(db, tenant, job!.id)).worker_id, worker.id);
});

Deno.test("forget_workers() passes over a worker whose row is in use, and takes it the next time", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { ephemeral: true });
  await db.call(worker.actor, "goodbye");
  await db.advance(30);
  await using coming = await db.transaction();
  await coming.call(worker.actor, "hello", { worker: {} });
  await tick(db);
  await coming.rollback();
  assert.deepEqual(await listed(db, tenant), [worker.id]);
  await tick(db);
  assert.deepEqual(await listed(db, tenant), []);
});

/** Lets the time pass, with what beats meanwhile, and ticks. */
async function pass(db: TestDatabase, seconds: number, ...beating: { heartbeat(): Promise<Answer> }[]): Promise<void> {
  await db.advance(seconds);
  for (const worker of beating) await worker.heartbeat();
  await tick(db);
}

async function listed(db: TestDatabase, tenant: TestTenant): Promise<string[]> {
  const { workers } = await db.call(service, "list_workers", { caller: tenant.caller });
  return workers.map((worker: Answer) => worker.id).sort();
}
