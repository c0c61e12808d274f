import assert from "node:assert/strict";
import { createLocalJWKSet, type JWTPayload, jwtVerify } from "jose";
import { deviceFingerprint } from "../../shared/auth/device-proof.ts";
import { ClientTokenAnswer, EnrollAnswer } from "../../shared/contracts/enroll.ts";
import { auditOf } from "../support/audit.ts";
import { Device, enrollDevice, workerRpc } from "../support/device.ts";
import { project } from "../support/project.ts";
import { assertProblem } from "../support/problem.ts";
import { api, createApp, createEnrollmentToken, createTenant } from "../support/tenant.ts";

const open = api(null);

async function newToken(options: Parameters<typeof createEnrollmentToken>[1] = {}): Promise<string> {
  const tenant = await createTenant();
  return (await createEnrollmentToken(tenant.id, options)).enrollmentToken;
}

Deno.test("POST /enroll lets a machine in and answers its token", async () => {
  const tenant = await createTenant();
  const { enrollmentToken: token } = await createEnrollmentToken(tenant.id, {
    capabilities: ["compute/basic", "compute/gpu"],
    labels: { site: "lab" },
  });
  const device = await Device.create();
  const answer = await open("/enroll", {
    json: await device.enrollRequest(token, {
      name: "gpu-7",
      capabilities: ["compute/basic", "python/sandbox"],
      labels: { rack: "3" },
      slots: 4,
      version: "1.0.0",
    }),
  });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const enrolled = EnrollAnswer.strict().parse(answer.body);
  assert.deepEqual([enrolled.tenantId, enrolled.name, enrolled.capabilities], [tenant.id, "gpu-7", ["compute/basic"]]);
  assert.deepEqual(enrolled.labels, { site: "lab", rack: "3" });
  assert.deepEqual([enrolled.supabaseUrl, enrolled.publishableKey], [project.url, project.publishableKey]);

  const claims = await verified(enrolled.accessToken);
  assert.deepEqual(
    [claims["role"], claims.sub, claims["tenant_id"], claims["cnf"]],
    ["muster_worker", enrolled.workerId, tenant.id, { jkt: await deviceFingerprint(device.publicJwk) }],
  );
  assert.deepEqual([claims["scopes"], claims.exp! - claims.iat!, enrolled.expiresIn], [["worker"], 600, 600]);
  assert.equal(claims.exp! * 1000, Date.parse(enrolled.expiresAt));
  const hello = await workerRpc(enrolled.accessToken, "hello", { worker: { capabilities: ["compute/basic"] } });
  assert.equal(hello.worker_id, enrolled.workerId);
  // What the token did not allow cannot be claimed later either.
  const more = { capabilities: ["compute/gpu", "python/sandbox"], labels: { site: "home", rack: "4" } };
  const again = await workerRpc(enrolled.accessToken, "hello", { worker: more });
  assert.deepEqual([again.capabilities, again.labels], [["compute/gpu"], { site: "lab", rack: "4" }]);
});

Deno.test("the same key enrolls as the same worker, and costs no use", async () => {
  const token = await newToken({ maxUses: 1 });
  const device = await Device.create();
  const first = await open("/enroll", { json: await device.enrollRequest(token) });
  const second = await open("/enroll", { json: await device.enrollRequest(token, { slots: 2 }) });
  assert.deepEqual([first.status, second.status], [201, 201], JSON.stringify(second.body));
  assert.equal(second.body.workerId, first.body.workerId);
});

Deno.test("an enrollment token that is unknown, expired or spent lets nobody in", async () => {
  const device = await Device.create();
  const enroll = async (token: string) => open("/enroll", { json: await device.enrollRequest(token) });
  assertProblem(await enroll("mse_unknown"), "enrollment_token_invalid");
  assertProblem(
    await enroll(await newToken({ expiresAt: new Date(Date.now() - 1000).toISOString() })),
    "enrollment_token_expired",
  );
  const spent = await newToken({ maxUses: 1 });
  await enrollDevice(spent);
  assertProblem(await enroll(spent), "enrollment_token_spent");
});

Deno.test("an enrollment token with ranges lets machines in from there alone, and headers do not change where that is", async () => {
  const lies = { "x-forwarded-for": "192.0.2.1", "cf-connecting-ip": "192.0.2.1", "x-real-ip": "192.0.2.1" };
  const elsewhere = await newToken({ cidrs: ["192.0.2.0/24"] });
  const device = await Device.create();
  const enroll = async (token: string, headers = {}) =>
    open("/enroll", { json: await device.enrollRequest(token), headers });
  assertProblem(await enroll(elsewhere), "address_not_allowed");
  assertProblem(await enroll(elsewhere, lies), "address_not_allowed");
  // Where the tests run is not for them to know: any address of either kind is here.
  const here = await newToken({ cidrs: ["0.0.0.0/0", "::/0"] });
  assert.equal((await enroll(here, lies)).status, 201);
});

Deno.test("whom a known token does not let in is in the audit log, with the reason", async () => {
  const tenant = await createTenant();
  const { enrollmentToken: token, id } = await createEnrollmentToken(tenant.id, { cidrs: ["192.0.2.0/24"] });
  const device = await Device.create();
  assertProblem(await open("/enroll", { json: await device.enrollRequest(token) }), "address_not_allowed");
  const entries = await auditOf(tenant.id, "enrollment_token.refused");
  assert.deepEqual(entries.map(({ subject }) => subject), [id]);
  assert.equal(entries[0]!.data["fingerprint"], await deviceFingerprint(device.publicJwk));
  assert.doesNotMatch(JSON.stringify(entries), new RegExp(token));
});

Deno.test("a token with one use lets one machine in, however many come at once", async () => {
  const token = await newToken({ maxUses: 1 });
  const answers = await Promise.all(Array.from({ length: 8 }, async () => {
    const device = await Device.create();
    return await open("/enroll", { json: await device.enrollRequest(token) });
  }));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array(7).fill(409)]);
});

Deno.test("a device proof that is wrong, another's, for another token, or from a wrong clock is refused", async () => {
  const token = await newToken();
  const [device, other] = [await Device.create(), await Device.create()];
  const enroll = async (proof: string) => open("/enroll", { json: await device.enrollRequest(token, { proof }) });
  assertProblem(await enroll("nonsense"), "proof_invalid");
  assertProblem(await enroll(await other.enrollProof(token)), "proof_invalid", /publicJwk/);
  assertProblem(await enroll(await device.enrollProof("mse_other")), "proof_invalid", /tkh/);
  assertProblem(await enroll(await device.refreshProof(crypto.randomUUID())), "proof_invalid", /aud/);
  const late = await enroll(await device.enrollProof(token, { now: () => Date.now() - 120_000 }));
  assertProblem(late, "clock_skewed", /behind/);
  assert.ok(Math.abs(Date.parse(late.body.serverTime) - Date.now()) < 30_000);
  assertProblem(
    await enroll(await device.enrollProof(token, { now: () => Date.now() + 120_000 })),
    "clock_skewed",
    /ahead/,
  );
});

Deno.test("a device proof counts once", async () => {
  const token = await newToken();
  const device = await Device.create();
  const request = await device.enrollRequest(token);
  const { status, body } = await open("/enroll", { json: request });
  assert.equal(status, 201);
  assertProblem(await open("/enroll", { json: request }), "proof_replayed");
  const proof = await device.refreshProof(body.workerId);
  assert.equal((await open("/enroll/refresh", { json: { workerId: body.workerId, proof } })).status, 200);
  assertProblem(await open("/enroll/refresh", { json: { workerId: body.workerId, proof } }), "proof_replayed");
});

Deno.test("POST /enroll/refresh gives the device's next token, and nobody else's", async () => {
  const { device, enrolled } = await enrollDevice(await newToken());
  const { workerId } = enrolled;
  const answer = await open("/enroll/refresh", { json: { workerId, proof: await device.refreshProof(workerId) } });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const refreshed = EnrollAnswer.strict().parse(answer.body);
  assert.deepEqual([refreshed.workerId, refreshed.tenantId], [workerId, enrolled.tenantId]);
  assert.notEqual(refreshed.accessToken, enrolled.accessToken);
  await workerRpc(refreshed.accessToken, "hello", { worker: { capabilities: [] } });

  const thief = await Device.create();
  assertProblem(
    await open("/enroll/refresh", { json: { workerId, proof: await thief.refreshProof(workerId) } }),
    "proof_invalid",
  );
  const unknown = crypto.randomUUID();
  assertProblem(
    await open("/enroll/refresh", { json: { workerId: unknown, proof: await device.refreshProof(unknown) } }),
    "proof_invalid",
  );
});

Deno.test("a machine that does not describe itself as it must is refused, and costs no use", async () => {
  const token = await newToken({ maxUses: 1 });
  const device = await Device.create();
  const refused: [Record<string, unknown>, "invalid_request" | "too_many", RegExp][] = [
    [{ slots: 0 }, "invalid_request", /slots/],
    [{ slots: 257 }, "invalid_request", /slots/],
    [{ capabilities: Array.from({ length: 10_000 }, (_, n) => `capability/${n}`) }, "too_many", /100/],
    [{ capabilities: ["Not A Capability"] }, "invalid_request", /capabilities\[0\]/],
    [{ capabilities: undefined }, "invalid_request", /capabilities/],
    [{ name: "a\0b" }, "invalid_request", /NUL/],
    [{ name: "n".repeat(101) }, "invalid_request", /name/],
    [{ labels: { a: 1 } }, "invalid_request", /labels/],
    [{ admin: true }, "invalid_request", /admin unknown field/],
    [{ publicJwk: { ...device.publicJwk, d: "AAAA" } }, "invalid_request", /publicJwk\.d unknown field/],
    [{ publicJwk: { kty: "RSA", n: "AAAA", e: "AQAB" } }, "invalid_request", /publicJwk/],
  ];
  for (const [slip, code, detail] of refused) {
    assertProblem(await open("/enroll", { json: { ...await device.enrollRequest(token), ...slip } }), code, detail);
  }
  const notOnTheCurve = { ...device.publicJwk, y: device.publicJwk.x };
  assertProblem(
    await open("/enroll", { json: await device.enrollRequest(token, { publicJwk: notOnTheCurve }) }),
    "proof_invalid",
  );
  assert.equal((await open("/enroll", { json: await device.enrollRequest(token) })).status, 201);
});

Deno.test("POST /enroll/client-token exchanges an API key for a token that may listen", async () => {
  const { api: app, key, tenant } = await createApp();
  const { status, body } = await app("/enroll/client-token", { method: "POST" });
  assert.equal(status, 200, JSON.stringify(body));
  const client = ClientTokenAnswer.strict().parse(body);
  assert.deepEqual([client.executorId, client.tenantId], [key.executorId, tenant.id]);
  assert.equal(client.channels.tasks, `executor:${key.executorId}:tasks`);
  const claims = await verified(client.accessToken);
  assert.deepEqual([claims["role"], claims.sub], ["muster_client", key.executorId]);
  assertProblem(await open("/enroll/client-token", { method: "POST" }), "unauthenticated");
  assertProblem(await api(project.secretKey)("/enroll/client-token", { method: "POST" }), "forbidden");
});

/** The claims of a token, verified as the project's Data API and Realtime do it. */
async function verified(token: string): Promise<JWTPayload> {
  const { signingJwk, jwtSecret } = project;
  const expected = { issuer: "muster", audience: "muster" };
  if (signingJwk === undefined) {
    const secret = new TextEncoder().encode(jwtSecret);
    return (await jwtVerify(token, secret, { ...expected, algorithms: ["HS256"] })).payload;
  }
  const { d: _, ...publicJwk } = signingJwk;
  const keys = createLocalJWKSet({ keys: [publicJwk] });
  const { payload, protectedHeader } = await jwtVerify(token, keys, { ...expected, algorithms: ["ES256"] });
  assert.equal(protectedHeader.kid, signingJwk.kid);
  return payload;
}
