import assert from "node:assert/strict";
import { createTenant, eachRefused, refused, sha256, type TestTenant, workerOf } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("enroll_worker() lets a device in and answers what its token will say", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await createToken(db, tenant, { capabilities: ["compute/basic", "gpu/a100"], labels: { site: "lab" } });
  const device = deviceOf({
    name: "gpu-7",
    capabilities: ["gpu/a100", "mcp/figma"],
    labels: { site: "home", os: "linux" },
    slots: 4,
  });
  const answer = await enroll(db, token, device);
  const { worker_id, ...rest } = answer;
  assert.match(worker_id, /^[0-9a-f-]{36}$/);
  assert.deepEqual(rest, {
    tenant_id: tenant.id,
    name: "gpu-7",
    fingerprint: device.fingerprint,
    capabilities: ["gpu/a100"],
    labels: { site: "lab", os: "linux" },
    slots: 4,
  });
  const [row] = await db.sql`select status, version from muster.worker_devices`;
  assert.equal(row!.status, "offline");
  const worker = workerOf(db, worker_id, tenant.id, device.fingerprint as string);
  assert.equal((await worker.hello()).status, "online");
});

Deno.test("enroll_worker() answers the same worker for the same key, and that costs no use", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await createToken(db, tenant, { max_uses: 1 });
  const device = deviceOf({ name: "laptop", capabilities: ["a"] });
  const first = await enroll(db, token, device);
  const again = await enroll(db, token, { ...device, ...freshProof(), name: "renamed", capabilities: ["b"], slots: 3 });
  assert.equal(again.worker_id, first.worker_id);
  assert.deepEqual([again.capabilities, again.slots], [["b"], 3]);
  const [row] = await db.sql`select use_count from muster.enrollment_tokens`;
  assert.equal(row!.use_count, 1);
});

Deno.test("enroll_worker() makes two workers of one key in two tenants", async () => {
  await using db = await TestDatabase.create();
  const device = deviceOf();
  const one = await enroll(db, await createToken(db, await createTenant(db)), device);
  const two = await enroll(db, await createToken(db, await createTenant(db)), { ...device, ...freshProof() });
  assert.notEqual(one.worker_id, two.worker_id);
});

Deno.test("enroll_worker() refuses a token that is unknown, revoked, expired or spent, each with its own error", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const now = (await db.now()).toISOString();
  const expired = await createToken(db, tenant, { expires_at: now });
  const revoked = await createToken(db, tenant);
  await db.sql`update muster.enrollment_tokens set revoked_at = ${now} where hash = ${revoked}`;
  const spent = await createToken(db, tenant, { max_uses: 1 });
  await enroll(db, spent, deviceOf());
  await refused(enroll(db, sha256("unknown"), deviceOf()), "MU009");
  await refused(db.call(service, "enroll_worker", { token_hash: null, worker: deviceOf() }), "MU009");
  await refused(enroll(db, revoked, deviceOf()), "MU009");
  await refused(enroll(db, expired, deviceOf()), "MU010");
  const error = await refused(enroll(db, spent, deviceOf({ name: "gpu-7" })), "MU011");
  assert.match(error.message, /Cannot enroll "gpu-7": token "test" has no uses left/);
  const [row] = await db.sql`select count(*)::integer as count from muster.worker_devices`;
  assert.equal(row!.count, 1);
});

Deno.test("enroll_worker() lets only one of two devices have the last use of a token", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await createToken(db, tenant, { max_uses: 1 });
  await using first = await db.transaction();
  await using second = await db.transaction();
  await first.call(service, "enroll_worker", { token_hash: token, worker: deviceOf() });
  const late = refused(second.call(service, "enroll_worker", { token_hash: token, worker: deviceOf() }), "MU011");
  await db.untilBlocked(second.pid);
  await first.commit();
  await late;
});

Deno.test("enroll_worker() refuses a proof that was used before, by whomever", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await createToken(db, tenant, { max_uses: null });
  const device = deviceOf();
  await enroll(db, token, device);
  await refused(enroll(db, token, device), "MU013");
  await refused(enroll(db, token, { ...deviceOf(), proof_jti: device.proof_jti }), "MU013");
});

Deno.test("enroll_worker() refuses a device that was revoked", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await createToken(db, tenant, { max_uses: null });
  const device = deviceOf();
  const { worker_id } = await enroll(db, token, device);
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id });
  await refused(enroll(db, token, { ...device, ...freshProof() }), "MU014");
});

Deno.test("enroll_worker() notes who came in by which token in the audit log", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { worker_id } = await enroll(db, await createToken(db, tenant), deviceOf());
  const [row] = await db.sql`select actor, subject from muster.audit_log where action = 'worker.enrolled'`;
  const [token] = await db.sql`select id from muster.enrollment_tokens`;
  assert.deepEqual([row!.actor, row!.subject], [{ kind: "enrollment_token", id: token!.id }, worker_id]);
});

Deno.test("enroll_worker() refuses misuse, and the token keeps its use and the proof its worth", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await createToken(db, tenant, { max_uses: 1 });
  const proof = freshProof();
  const names = (length: number) => Array.from({ length }, (_, n) => `c${n}`);
  const bad: Record<string, unknown> = {
    "null": null,
    "an array": [],
    "zero slots": deviceOf({ slots: 0 }),
    "257 slots": deviceOf({ slots: 257 }),
    "half a slot": deviceOf({ slots: 0.5 }),
    "101 capabilities": deviceOf({ capabilities: names(101) }),
    "10,000 capabilities": deviceOf({ capabilities: names(10_000) }),
    "a capability in capitals": deviceOf({ capabilities: ["GPU"] }),
    "a capability that is null": deviceOf({ capabilities: [null] }),
    "capabilities as a string": deviceOf({ capabilities: "a" }),
    "labels as an array": deviceOf({ labels: ["a"] }),
    "51 labels": deviceOf({ labels: Object.fromEntries(names(51).map((name) => [name, "x"])) }),
    "no fingerprint": deviceOf({ fingerprint: undefined }),
    "no public key": deviceOf({ public_jwk: undefined }),
    "no proof": deviceOf({ proof_jti: undefined }),
    "a proof without an end": deviceOf({ proof_expires_at: undefined }),
  };
  const withProof = (worker: unknown) =>
    Array.isArray(worker) || worker === null ? worker : { ...proof, ...worker as Args };
  await eachRefused(
    bad,
    (worker) => db.call(service, "enroll_worker", { token_hash: token, worker: withProof(worker) }),
  );
  await enroll(db, token, { ...deviceOf(), ...proof });
});

async function createToken(db: TestDatabase, tenant: TestTenant, options: Args = {}): Promise<string> {
  const token_hash = sha256(crypto.randomUUID());
  await db.call(service, "create_enrollment_token", { tenant_id: tenant.id, name: "test", token_hash, ...options });
  return token_hash;
}

function enroll(db: TestDatabase, token_hash: string, worker: Args): Promise<Answer> {
  return db.call(service, "enroll_worker", { token_hash, worker });
}

function freshProof(): Args {
  return { proof_jti: crypto.randomUUID(), proof_expires_at: "2026-01-01T00:01:00Z" };
}

function deviceOf(fields: Args = {}): Args {
  return {
    public_jwk: { kty: "EC" },
    fingerprint: sha256(crypto.randomUUID()),
    capabilities: [],
    ...freshProof(),
    ...fields,
  };
}
