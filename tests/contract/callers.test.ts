import assert from "node:assert/strict";
import postgres from "postgres";
import { createTokenSigner, type TokenSigner } from "../../shared/auth/access-token.ts";
import { deviceFingerprint } from "../../shared/auth/device-proof.ts";
import { UnauthenticatedError } from "../../shared/errors.ts";
import { project } from "../support/project.ts";
import { assertProblem } from "../support/problem.ts";
import { admin, api, createApiKey, createApp, createEnrollmentToken, createTenant } from "../support/tenant.ts";
import { enrollDevice, workerRpc } from "../support/device.ts";

const routes = ["/jobs", "/workers", "/enroll/tokens", "/tenants/members", `/artifacts?jobId=${crypto.randomUUID()}`];

Deno.test("without a valid key nothing is answered", async () => {
  const unknown = `msk_${"A".repeat(43)}`;
  for (const path of routes) {
    assertProblem(await api(null)(path), "unauthenticated");
    for (const key of ["msk_short", unknown, "nonsense", "a.b.c", project.publishableKey]) {
      assertProblem(await api(key)(path), "unauthenticated");
    }
    assertProblem(await api(null, { "x-api-key": unknown })(path), "unauthenticated");
    assertProblem(await api(null, { apikey: project.publishableKey })(path), "unauthenticated");
  }
});

Deno.test("an API key is taken as a bearer token and in x-api-key, whatever Authorization then says", async () => {
  const { key } = await createApp();
  assert.equal((await api(key.apiKey)("/jobs")).status, 200);
  assert.equal((await api(null, { "x-api-key": key.apiKey })("/jobs")).status, 200);
  assert.equal((await api(project.publishableKey, { "x-api-key": key.apiKey })("/jobs")).status, 200);
  assert.equal((await api(null, { apikey: project.publishableKey, "x-api-key": key.apiKey })("/jobs")).status, 200);
});

Deno.test("an API key may name its own tenant, and no other", async () => {
  const [{ tenant, key }, other] = [await createApp(), await createTenant()];
  assert.equal((await api(key.apiKey, { "x-tenant-id": tenant.id })("/jobs")).status, 200);
  for (const id of [other.id, crypto.randomUUID()]) {
    const stranger = api(key.apiKey, { "x-tenant-id": id });
    for (const path of routes) assertProblem(await stranger(path), "forbidden", /another tenant's/);
    assertProblem(await stranger("/jobs", { json: { type: "a" } }), "forbidden");
    assertProblem(await stranger("/enroll/client-token", { method: "POST" }), "forbidden");
  }
  assert.deepEqual((await api(key.apiKey)("/jobs")).body.jobs, []);
});

Deno.test("an API key that has expired is refused", async () => {
  const tenant = await createTenant();
  const { apiKey } = await createApiKey(tenant.id, { expiresAt: new Date(Date.now() - 1000).toISOString() });
  assertProblem(await api(apiKey)("/jobs"), "unauthenticated", /expired/);
});

Deno.test("the secret key acts for the tenant that x-tenant-id names", async () => {
  const { tenant, api: app } = await createApp();
  const { body: job } = await app("/jobs", { json: { type: "a" } });
  const service = api(project.secretKey, { "x-tenant-id": tenant.id });
  assert.equal((await service(`/jobs/${job.id}`)).status, 200);
  assert.equal((await api(null, { apikey: project.secretKey, "x-tenant-id": tenant.id })("/jobs")).status, 200);
  assertProblem(await api(project.secretKey)("/jobs"), "not_found", /tenant/);
  assertProblem(await api(project.secretKey, { "x-tenant-id": "mine" })("/jobs"), "invalid_request", /x-tenant-id/);
  assertProblem(await api(project.secretKey, { "x-tenant-id": crypto.randomUUID() })("/jobs"), "not_found");
  assertProblem(await api(`${project.secretKey}x`, { "x-tenant-id": tenant.id })("/jobs"), "unauthenticated");
});

/** A new user of Supabase Auth: id and access token. */
async function signUp(): Promise<{ userId: string; token: string }> {
  const response = await fetch(`${project.url}/auth/v1/signup`, {
    method: "POST",
    headers: { apikey: project.publishableKey, "content-type": "application/json" },
    body: JSON.stringify({ email: `${crypto.randomUUID()}@example.com`, password: crypto.randomUUID() }),
  });
  const { access_token: token, user } = await response.json();
  assert.equal(typeof token, "string");
  return { userId: user.id, token };
}

Deno.test("a signed-in user who is a member of no tenant may do nothing", async () => {
  const { token } = await signUp();
  for (const path of routes) assertProblem(await api(token)(path), "forbidden", /membership/);
  const tampered = `${token.slice(0, -6)}${token.endsWith("AAAAAA") ? "BBBBBB" : "AAAAAA"}`;
  assertProblem(await api(tampered)("/jobs"), "unauthenticated");
});

Deno.test("a member may do what the role allows, in the member's own tenants", async () => {
  const [ours, theirs] = [await createTenant(), await createTenant()];
  const { userId, token } = await signUp();
  const member = api(token, { "x-tenant-id": ours.id });
  const become = async (role: string): Promise<void> => {
    const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
    try {
      await sql`
        insert into muster.members (tenant_id, user_id, role) values (${ours.id}, ${userId}, ${role}::muster.member_role)
        on conflict (tenant_id, user_id) do update set role = excluded.role`;
    } finally {
      await sql.end();
    }
  };
  await become("viewer");
  assert.equal((await member("/jobs")).status, 200);
  assert.equal((await api(token)("/jobs")).status, 200, "the only tenant goes without saying");
  assertProblem(await member("/jobs", { json: { type: "a" } }), "forbidden");
  assertProblem(await api(token, { "x-tenant-id": theirs.id })("/jobs"), "forbidden", /membership/);
  await become("editor");
  assert.equal((await member("/jobs", { json: { type: "a" } })).status, 201);
  assertProblem(await member(`/workers/${crypto.randomUUID()}/revoke`, { method: "POST" }), "forbidden");
  await become("admin");
  assertProblem(await member(`/workers/${crypto.randomUUID()}/revoke`, { method: "POST" }), "not_found");
});

Deno.test("a worker token opens artifacts and nothing else", async () => {
  const tenant = await createTenant();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { enrolled } = await enrollDevice(enrollmentToken);
  const worker = api(enrolled.accessToken);
  assertProblem(await worker("/jobs"), "forbidden", /worker token/);
  assertProblem(await worker("/workers"), "forbidden", /worker token/);
  assertProblem(await worker("/enroll/client-token", { method: "POST" }), "forbidden", /worker token/);
  assertProblem(await worker(`/artifacts/${crypto.randomUUID()}`), "not_found");
});

Deno.test("a worker token that is foreign, expired or altered opens nothing", async () => {
  const tenant = await createTenant();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { device, enrolled } = await enrollDevice(enrollmentToken);
  const worker = {
    workerId: enrolled.workerId,
    tenantId: tenant.id,
    fingerprint: await deviceFingerprint(device.publicJwk),
  };
  const secret = { kind: "secret", secret: project.jwtSecret } as const;
  const signed = async (signer: TokenSigner, claims: Partial<typeof worker> = {}): Promise<string> =>
    (await signer.signWorker({ ...worker, ...claims })).accessToken;
  const ours = createTokenSigner(secret);
  assertProblem(await api(await signed(ours))(`/artifacts/${crypto.randomUUID()}`), "not_found");

  const foreign = createTokenSigner({ kind: "secret", secret: "another secret of more than thirty-two characters" });
  const expired = createTokenSigner(secret, { now: () => Date.now() - 3_600_000 });
  const refused = [
    await signed(foreign),
    await signed(expired),
    await signed(ours, { fingerprint: "another key" }),
    await signed(ours, { workerId: crypto.randomUUID() }),
    await signed(ours, { tenantId: crypto.randomUUID() }),
  ];
  for (const token of refused) {
    assertProblem(await api(token)(`/artifacts/${crypto.randomUUID()}`), "unauthenticated");
    await assert.rejects(workerRpc(token, "claim_jobs", { want: 1 }), UnauthenticatedError);
  }
});

Deno.test("a correlation id is answered as given, or made", async () => {
  const given = await api(null, { "x-correlation-id": "order-7" })("/jobs");
  assert.equal(given.headers.get("x-correlation-id"), "order-7");
  assert.equal(given.body.correlationId, "order-7");
  for (const bad of ["x".repeat(256), "a b", ""]) {
    const made = await api(null, { "x-correlation-id": bad })("/jobs");
    assert.match(made.headers.get("x-correlation-id") ?? "", /^[0-9a-f-]{36}$/);
  }
});

Deno.test("a wrong route is 404 and a wrong method 405, as problem documents", async () => {
  const { api: app } = await createApp();
  assertProblem(await app("/jobs/x/y/z"), "route_not_found");
  assertProblem(await app("/workers/x/y/z"), "route_not_found");
  assertProblem(await api(null)("/health/nothing"), "route_not_found");
  assertProblem(await api(null)("/enroll/nothing"), "route_not_found");
  const wrong = await app("/jobs", { method: "DELETE" });
  assertProblem(wrong, "method_not_allowed");
  assert.deepEqual(wrong.headers.get("allow")?.split(", ").sort(), ["GET", "POST"]);
  assertProblem(await app(`/jobs/${crypto.randomUUID()}`, { method: "PATCH" }), "method_not_allowed");
  assertProblem(await app("/workers", { method: "POST" }), "method_not_allowed");
  assertProblem(await api(null)("/enroll"), "method_not_allowed");
});

Deno.test("a browser on another site may call, and read what it needs", async () => {
  const url = `${project.url}/functions/v1/jobs`;
  const preflight = await fetch(url, {
    method: "OPTIONS",
    headers: {
      origin: "https://app.example",
      "access-control-request-method": "POST",
      "access-control-request-headers": "x-api-key,content-type,idempotency-key",
    },
  });
  await preflight.body?.cancel();
  assert.ok(preflight.ok);
  assert.equal(preflight.headers.get("access-control-allow-origin"), "*");
  const allowed = preflight.headers.get("access-control-allow-headers")?.toLowerCase() ?? "";
  for (const header of ["x-api-key", "content-type", "idempotency-key"]) assert.ok(allowed.includes(header), header);
  const answer = await api(null, { origin: "https://app.example" })("/jobs");
  assert.equal(answer.headers.get("access-control-allow-origin"), "*");
  assert.match(answer.headers.get("access-control-expose-headers") ?? "", /x-correlation-id/);
});

Deno.test("each function describes itself, to anybody", async () => {
  for (const name of ["enroll", "tenants", "jobs", "artifacts", "workers", "schedules", "health", "audit"]) {
    const { status, body } = await api(null)(`/${name}/openapi.json`);
    assert.equal(status, 200);
    assert.equal(body.openapi, "3.1.0");
    assert.ok(Object.keys(body.paths).every((path) => path.startsWith(`/${name}`)));
    assert.ok(`/${name}` in body.paths);
  }
});

Deno.test("making a tenant twice gives the same one", async () => {
  const name = `twice-${crypto.randomUUID()}`;
  assert.deepEqual(await admin().createTenant(name), await admin().createTenant(name));
});
