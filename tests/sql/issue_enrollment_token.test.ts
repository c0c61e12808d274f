import assert from "node:assert/strict";
import { auditEntries, createMember, createTenant, eachRefused, refused, sha256 } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

async function tokensOf(db: TestDatabase) {
  const tenant = await createTenant(db);
  const { caller, userId } = await createMember(db, tenant, "editor");
  const issue = (args: Args = {}): Promise<Answer> =>
    db.call(service, "issue_enrollment_token", {
      caller,
      name: "lab",
      token_hash: sha256(crypto.randomUUID()),
      ...args,
    });
  return { tenant, caller, userId, issue };
}

function enroll(db: TestDatabase, token_hash: string): Promise<Answer> {
  const worker = {
    public_jwk: { kty: "EC" },
    fingerprint: sha256(crypto.randomUUID()),
    capabilities: [],
    proof_jti: crypto.randomUUID(),
    proof_expires_at: "2100-01-01T00:00:00Z",
  };
  return db.call(service, "enroll_worker", { token_hash, worker });
}

Deno.test("issue_enrollment_token() keeps the address ranges that machines may come from", async () => {
  await using db = await TestDatabase.create();
  const { issue } = await tokensOf(db);
  const cidrs = ["10.1.0.0/16", "2001:db8::/32", "203.0.113.7/32"];
  assert.deepEqual((await issue({ cidrs })).cidrs, ["10.1.0.0/16", "2001:db8::/32", "203.0.113.7/32"]);
  assert.deepEqual((await issue({ cidrs: ["203.0.113.7"] })).cidrs, ["203.0.113.7/32"]);
  assert.equal((await issue()).cidrs, null);
});

Deno.test("issue_enrollment_token() refuses what is no address range", async () => {
  await using db = await TestDatabase.create();
  const { issue } = await tokensOf(db);
  const bad: Record<string, unknown> = {
    "bits beyond the prefix": ["10.1.2.3/16"],
    "a prefix too long": ["10.0.0.0/33"],
    "a name": ["localhost"],
    "a second one that is none": ["10.0.0.0/8", "x"],
    "null among them": [null],
    "an empty text": [""],
    "an empty list": [],
    "more than 100": Array(101).fill("10.0.0.0/8"),
  };
  await eachRefused(bad, (cidrs) => issue({ cidrs }));
  assert.match((await refused(issue({ cidrs: ["10.1.2.3/16"] }), "MU004")).message, /"10\.1\.2\.3\/16"/);
});

Deno.test("revoke_enrollment_token() lets nobody in any more; the workers that are in stay", async () => {
  await using db = await TestDatabase.create();
  const { tenant, caller, userId, issue } = await tokensOf(db);
  const token_hash = sha256("token");
  const { id } = await issue({ token_hash, max_uses: null });
  const { worker_id } = await enroll(db, token_hash);
  const revoked = await db.call(service, "revoke_enrollment_token", { caller, token_id: id });
  assert.deepEqual([revoked.use_count, Date.parse(revoked.revoked_at)], [1, (await db.now()).getTime()]);
  assert.equal((await enroll(db, token_hash)).refused.code, "MU009");
  await db.advance(5);
  assert.deepEqual(await db.call(service, "revoke_enrollment_token", { caller, token_id: id }), revoked);
  assert.notEqual((await db.call(service, "get_worker", { caller, worker_id })).status, "revoked");
  const entries = (await auditEntries(db, tenant)).filter(({ subject }) => subject === id);
  const actor = { kind: "member", id: userId };
  assert.deepEqual(entries.map(({ action, actor }) => ({ action, actor })), [
    { action: "enrollment_token.created", actor },
    { action: "enrollment_token.revoked", actor },
    { action: "enrollment_token.refused", actor: { kind: "enrollment_token", id } },
  ]);
});

Deno.test("a revocation waits for the enrollment that came first, and stops the one that comes after", async () => {
  await using db = await TestDatabase.create();
  const { caller, issue } = await tokensOf(db);
  const token_hash = sha256("token");
  const { id: token_id } = await issue({ token_hash, max_uses: null });
  await using revoking = await db.transaction();
  await revoking.call(service, "revoke_enrollment_token", { caller, token_id });
  await using enrolling = await db.transaction();
  const worker = { public_jwk: {}, fingerprint: "f", proof_jti: "j", proof_expires_at: "2100-01-01T00:00:00Z" };
  const waiting = enrolling.call(service, "enroll_worker", { token_hash, worker });
  await db.untilBlocked(enrolling.pid);
  await revoking.commit();
  assert.equal((await waiting).refused.code, "MU009");
});

Deno.test("list_enrollment_tokens() shows those of the tenant, newest first, usable ones or all, and no hash", async () => {
  await using db = await TestDatabase.create();
  const { caller, issue } = await tokensOf(db);
  await (await tokensOf(db)).issue();
  const now = await db.now();
  const good = await issue();
  await db.advance(1);
  const expired = await issue({ expires_at: now.toISOString() });
  await db.advance(1);
  const token_hash = sha256("spent");
  const spent = await issue({ token_hash });
  await enroll(db, token_hash);
  const list = async (args: Args = {}) => {
    const answer = await db.call(service, "list_enrollment_tokens", { caller, ...args });
    assert.ok(!JSON.stringify(answer).match(/[0-9a-f]{64}/));
    return answer.enrollment_tokens.map((token: Answer) => token.id);
  };
  assert.deepEqual(await list(), [spent.id, expired.id, good.id]);
  assert.deepEqual(await list({ filters: { usable: true } }), [good.id]);
  const { next_cursor } = await db.call(service, "list_enrollment_tokens", { caller, page_size: 2 });
  assert.deepEqual(await list({ page_size: 2, cursor: next_cursor }), [good.id]);
});

Deno.test("issue_enrollment_token() stops at 1,000 tokens that can be used", async () => {
  await using db = await TestDatabase.create();
  const { tenant, issue } = await tokensOf(db);
  const fill = (count: number, expires_at: Date | null) =>
    db.sql`
      insert into muster.enrollment_tokens (tenant_id, name, hash, expires_at)
      select ${tenant.id}, 'x', md5(gen_random_uuid()::text) || md5(gen_random_uuid()::text), ${expires_at}
      from generate_series(1, ${count})`;
  await fill(1000, await db.now());
  await fill(999, null);
  await issue();
  await refused(issue(), "MU015");
});
