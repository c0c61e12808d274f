import assert from "node:assert/strict";
import {
  CreatedEnrollmentToken,
  EnrollmentToken,
  EnrollmentTokenList,
} from "../../shared/contracts/enrollment-tokens.ts";
import { Device, enrollDevice } from "../support/device.ts";
import { project } from "../support/project.ts";
import { assertProblem } from "../support/problem.ts";
import { api, createApiKey, createApp, createEnrollmentToken } from "../support/tenant.ts";

Deno.test("an operator makes an enrollment token, machines enroll by it until it is revoked, and stay", async () => {
  const { tenant, api: operator } = await createApp();
  const wanted = {
    name: "lab",
    capabilities: ["compute/basic"],
    labels: { site: "lab" },
    maxUses: 2,
    expiresAt: new Date(Date.now() + 3_600_000).toISOString(),
    ephemeral: true,
    cidrs: null,
  };
  const answer = await operator("/enroll/tokens", { json: wanted });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const { enrollmentToken, ...token } = CreatedEnrollmentToken.strict().parse(answer.body);
  assert.match(enrollmentToken, /^mse_/);
  assert.deepEqual({ ...token, expiresAt: Date.parse(token.expiresAt!) }, {
    ...wanted,
    id: token.id,
    tenantId: tenant.id,
    useCount: 0,
    createdAt: token.createdAt,
    expiresAt: Date.parse(wanted.expiresAt),
    revokedAt: null,
  });
  const { enrolled } = await enrollDevice(enrollmentToken);
  const revoked = await operator(`/enroll/tokens/${token.id}/revoke`, { method: "POST" });
  assert.equal(revoked.status, 200, JSON.stringify(revoked.body));
  assert.equal(EnrollmentToken.strict().parse(revoked.body).useCount, 1);
  const late = await Device.create();
  assertProblem(
    await api(null)("/enroll", { json: await late.enrollRequest(enrollmentToken) }),
    "enrollment_token_invalid",
  );
  assert.notEqual((await operator(`/workers/${enrolled.workerId}`)).body.status, "revoked");
});

Deno.test("enrollment tokens are listed without themselves, usable ones or all, of the tenant alone", async () => {
  const { api: operator } = await createApp();
  await (await createApp()).api("/enroll/tokens", { json: {} });
  const made = [];
  for (const json of [{ name: "a" }, { name: "b", cidrs: ["10.0.0.0/8"] }]) {
    made.unshift(CreatedEnrollmentToken.parse((await operator("/enroll/tokens", { json })).body));
  }
  await operator(`/enroll/tokens/${made[1]!.id}/revoke`, { method: "POST" });
  const all = await operator("/enroll/tokens");
  const { enrollmentTokens } = EnrollmentTokenList.parse(all.body);
  assert.deepEqual(enrollmentTokens.map(({ name, cidrs }) => [name, cidrs]), [["b", ["10.0.0.0/8"]], ["a", null]]);
  for (const { enrollmentToken } of made) assert.ok(!JSON.stringify(all.body).includes(enrollmentToken.slice(4)));
  const usable = await operator("/enroll/tokens?usable=true&limit=1");
  assert.deepEqual(usable.body.enrollmentTokens.map(({ id }: EnrollmentToken) => id), [made[0]!.id]);
});

Deno.test("enrollment tokens are for operators of the tenant", async () => {
  const { tenant, api: operator } = await createApp();
  const { body: token } = await operator("/enroll/tokens", { json: {} });
  const { apiKey } = await createApiKey(tenant.id, { scopes: ["read", "submit", "publish"] });
  const app = api(apiKey);
  assertProblem(await app("/enroll/tokens", { json: {} }), "forbidden", /operate/);
  assertProblem(await app("/enroll/tokens"), "forbidden", /operate/);
  assertProblem(await app(`/enroll/tokens/${token.id}/revoke`, { method: "POST" }), "forbidden", /operate/);
  const { api: stranger } = await createApp();
  assertProblem(await stranger(`/enroll/tokens/${token.id}/revoke`, { method: "POST" }), "not_found");
  assertProblem(await api(null)("/enroll/tokens"), "unauthenticated");
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { enrolled } = await enrollDevice(enrollmentToken);
  assertProblem(await api(enrolled.accessToken)("/enroll/tokens", { json: {} }), "forbidden", /worker token/);
  const service = api(project.secretKey, { "x-tenant-id": tenant.id });
  assert.equal((await service("/enroll/tokens", { json: {} })).status, 201);
  assertProblem(await api(project.secretKey)("/enroll/tokens", { json: {} }), "not_found", /tenant/);
});

Deno.test("what is wrong with an enrollment token is said", async () => {
  const { api: operator } = await createApp();
  const past = new Date(Date.now() - 1000).toISOString();
  const slips: [object, RegExp][] = [
    [{ name: "" }, /name/],
    [{ maxUses: 0 }, /maxUses/],
    [{ maxUses: 1e9 }, /maxUses/],
    [{ capabilities: ["Not One"] }, /capabilities/],
    [{ expiresAt: past }, /future/],
    [{ cidrs: [] }, /cidrs/],
    [{ cidrs: ["10.1.2.3/16"] }, /"10\.1\.2\.3\/16"/],
    [{ cidrs: ["2001:db8::/129"] }, /range/],
    [{ hash: "x" }, /hash unknown field/],
  ];
  for (const [json, detail] of slips) {
    assertProblem(await operator("/enroll/tokens", { json }), "invalid_request", detail);
  }
  assertProblem(await operator("/enroll/tokens", { json: { cidrs: Array(101).fill("10.0.0.0/8") } }), "too_many");
  const wrong = await operator("/enroll/tokens", { method: "DELETE" });
  assertProblem(wrong, "method_not_allowed");
  assert.deepEqual(wrong.headers.get("allow")?.split(", ").sort(), ["GET", "POST"]);
});
