import assert from "node:assert/strict";
import {
  auditEntries,
  createTenant,
  createWorker,
  eachRefused,
  refused,
  sha256,
  submit,
  workerOf,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("rotate_worker_key() gives the worker another key; it keeps its jobs, and tokens of the old key are void", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [attempt] = await worker.claim();
  const args = rotationOf(worker);
  const answer = await db.call(service, "rotate_worker_key", args);
  assert.deepEqual([answer.worker_id, answer.fingerprint], [worker.id, args.new_fingerprint]);
  await refused(worker.heartbeat(), "MU001");
  const renewed = workerOf(db, worker.id, tenant.id, args.new_fingerprint as string);
  const running = [{ job_id: job!.id, attempt: attempt!.attempt }];
  assert.deepEqual((await renewed.heartbeat({ running })).stop, []);
  const entries = await auditEntries(db, tenant, "worker.key_rotated");
  assert.deepEqual(entries.map(({ actor, subject, data }) => ({ actor, subject, data })), [{
    actor: { kind: "worker", id: worker.id },
    subject: worker.id,
    data: { from: args.fingerprint, to: args.new_fingerprint },
  }]);
});

Deno.test("rotate_worker_key() lets one of two rotations change the key; the other finds the key changed", async () => {
  await using db = await TestDatabase.create();
  const worker = await createWorker(db, await createTenant(db));
  await using first = await db.transaction();
  await using second = await db.transaction();
  await first.call(service, "rotate_worker_key", rotationOf(worker));
  const late = refused(second.call(service, "rotate_worker_key", rotationOf(worker)), "MU012");
  await db.untilBlocked(second.pid);
  await first.commit();
  await late;
});

Deno.test("rotate_worker_key() and an enrollment of the new key at once do not both get it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const args = rotationOf(worker);
  const token_hash = sha256("token");
  await db.call(service, "create_enrollment_token", { tenant_id: tenant.id, name: "race", token_hash });
  await using enrolling = await db.transaction();
  await using rotating = await db.transaction();
  const device = { public_jwk: {}, fingerprint: args.new_fingerprint, capabilities: [], ...freshProof() };
  await enrolling.call(service, "enroll_worker", { token_hash, worker: device });
  const late = refused(rotating.call(service, "rotate_worker_key", args), "MU008");
  await db.untilBlocked(rotating.pid);
  await enrolling.commit();
  await late;
});

Deno.test("rotate_worker_key() refuses a proof that was used before, also when the keys went back and forth", async () => {
  await using db = await TestDatabase.create();
  const worker = await createWorker(db, await createTenant(db));
  const there = rotationOf(worker);
  await db.call(service, "rotate_worker_key", there);
  await refused(db.call(service, "rotate_worker_key", there), "MU012");
  const back = { ...there, ...freshProof(), fingerprint: there.new_fingerprint, new_fingerprint: there.fingerprint };
  await db.call(service, "rotate_worker_key", back);
  await refused(db.call(service, "rotate_worker_key", there), "MU013");
});

Deno.test("rotate_worker_key() refuses misuse, and the key stays", async () => {
  await using db = await TestDatabase.create();
  const worker = await createWorker(db, await createTenant(db));
  const good = rotationOf(worker);
  await eachRefused({
    "no new key": { ...good, new_jwk: null },
    "a text as a key": { ...good, new_jwk: "key" },
    "no new fingerprint": { ...good, new_fingerprint: null },
    "an empty fingerprint": { ...good, new_fingerprint: "" },
    "a long fingerprint": { ...good, new_fingerprint: "f".repeat(256) },
    "no proof": { ...good, proof_jti: null },
    "a proof without an end": { ...good, proof_expires_at: null },
  }, (args) => db.call(service, "rotate_worker_key", args));
  await refused(db.call(service, "rotate_worker_key", { ...good, fingerprint: null }), "MU012");
  await refused(db.call(service, "rotate_worker_key", { ...good, worker_id: null }), "MU012");
  await db.call(service, "rotate_worker_key", good);
});

function rotationOf(worker: Answer): Args {
  return {
    worker_id: worker.id,
    fingerprint: worker.actor.claims.cnf.jkt,
    new_jwk: { kty: "EC" },
    new_fingerprint: sha256(crypto.randomUUID()),
    ...freshProof(),
  };
}

function freshProof(): Args {
  return { proof_jti: crypto.randomUUID(), proof_expires_at: "2026-01-01T00:01:00Z" };
}
