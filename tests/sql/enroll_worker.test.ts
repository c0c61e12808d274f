import assert from "node:assert/strict";
import {
  auditEntries,
  createTenant,
  eachRefused,
  refused,
  sha256,
  type TestTenant,
  workerOf,
} from "../support/actors.ts";
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
  await turnedAway(enroll(db, revoked, deviceOf()), "MU009");
  await turnedAway(enroll(db, expired, deviceOf()), "MU010");
  const refusal = await turnedAway(enroll(db, spent, deviceOf({ name: "gpu-7" })), "MU011");
  assert.match(refusal.message, /Cannot enroll "gpu-7": token "test" has no uses left/);
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
  const late = turnedAway(second.call(service, "enroll_worker", { token_hash: token, worker: deviceOf() }), "MU011");
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
  await turnedAway(enroll(db, token, device), "MU013");
  await turnedAway(enroll(db, token, { ...deviceOf(), proof_jti: device.proof_jti }), "MU013");
});

Deno.test("enroll_worker() refuses a device that was revoked", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await createToken(db, tenant, { max_uses: null });
  const device = deviceOf();
  const { worker_id } = await enroll(db, token, device);
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id });
  await turnedAway(enroll(db, token, { ...device, ...freshProof() }), "MU014");
});

Deno.test("enroll_worker() lets in from the ranges of the token and from nowhere else, also where IPv4 is written as IPv6", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const ranges: [cidrs: string[] | null, address: string | null, isLetIn: boolean][] = [
    [null, null, true],
    [null, "203.0.113.9", true],
    [["10.0.0.0/8"], "10.255.255.255", true],
    [["10.0.0.0/8"], "11.0.0.0", false],
    [["10.0.0.0/8"], null, false],
    [["10.0.0.0/8"], "10.1.2.3/4", true],
    [["10.0.0.0/8"], "11.1.2.3/4", false],
    [["192.0.2.7/32", "10.0.0.0/8"], "192.0.2.7", true],
    [["192.0.2.7/32"], "::ffff:192.0.2.7", true],
    [["192.0.2.7/32"], "::ffff:c000:207", true],
    [["192.0.2.7/32"], "::ffff:192.0.2.8", false],
    [["192.0.2.7/32"], "::192.0.2.7", false],
    [["::ffff:192.0.2.0/120"], "192.0.2.200", true],
    [["::ffff:192.0.2.0/120"], "192.0.3.0", false],
    [["::ffff:192.0.2.0/120"], "::ffff:192.0.2.1", true],
    [["0.0.0.0/0"], "::ffff:192.0.2.1", true],
    [["0.0.0.0/0"], "2001:db8::1", false],
    [["2001:db8::/32"], "2001:db8:ffff::1", true],
    [["2001:db8::/32"], "2001:db9::1", false],
    [["::/0"], "192.0.2.1", false],
  ];
  for (const [cidrs, address, isLetIn] of ranges) {
    const token = await createToken(db, tenant, { cidrs });
    const call = db.call(service, "enroll_worker", { token_hash: token, worker: deviceOf(), address });
    if (isLetIn) assert.ok((await call).worker_id, `${address} in ${cidrs}`);
    else await turnedAway(call, "MU020");
  }
});

Deno.test("enroll_worker() notes whom a token did not let in, why and from where, and keeps the token's use", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const token = await createToken(db, tenant, { cidrs: ["10.0.0.0/8"] });
  const device = deviceOf();
  await turnedAway(
    db.call(service, "enroll_worker", { token_hash: token, worker: device, address: "192.0.2.1" }),
    "MU020",
  );
  const rows = await auditEntries(db, tenant, "enrollment_token.refused");
  const [kept] = await db.sql`select id, use_count from muster.enrollment_tokens`;
  assert.equal(rows.length, 1);
  assert.deepEqual(rows[0]!.actor, { kind: "enrollment_token", id: kept!.id });
  assert.equal(rows[0]!.subject, kept!.id);
  const { code, fingerprint, address } = rows[0]!.data;
  assert.deepEqual([code, fingerprint, address], ["MU020", device.fingerprint, "192.0.2.1"]);
  assert.equal(kept!.use_count, 0);
  assert.equal((await db.sql`select from muster.worker_devices`).length, 0);
});

Deno.test("enroll_worker() gives a known key what the new token allows, and takes what it does not", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const device = deviceOf({ capabilities: ["a", "b"] });
  const first = await enroll(db, await createToken(db, tenant, { capabilities: ["a", "b"] }), device);
  const less = await createToken(db, tenant, { capabilities: ["b", "c"], labels: { site: "lab" }, ephemeral: true });
  const again = await enroll(db, less, { ...device, ...freshProof() });
  assert.deepEqual([again.worker_id, again.capabilities, again.labels], [first.worker_id, ["b"], { site: "lab" }]);
  const worker = workerOf(db, again.worker_id, tenant.id, device.fingerprint as string);
  const greeting = await worker.hello({ capabilities: ["a", "b", "c"] });
  assert.deepEqual(greeting.capabilities, ["b", "c"]);
  const [row] = await db.sql`select ephemeral from muster.worker_devices`;
  assert.equal(row!.ephemeral, true);
});

Deno.test("enroll_worker() notes who came in by which token in the audit log", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { worker_id } = await enroll(db, await createToken(db, tenant), deviceOf());
  const [entry] = await auditEntries(db, tenant, "worker.enrolled");
  const [token] = await db.sql`select id from muster.enrollment_tokens`;
  assert.deepEqual([entry.actor, entry.subject], [{ kind: "enrollment_token", id: token!.id }, worker_id]);
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

/** Asserts that an enrollment was refused in a way that leaves a row in the audit log, and answers the refusal. */
async function turnedAway(call: Promise<Answer>, sqlState: string): Promise<Answer> {
  const { refused } = await call;
  assert.equal(refused?.code, sqlState, JSON.stringify(refused));
  return refused;
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
