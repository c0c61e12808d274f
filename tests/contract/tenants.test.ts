import assert from "node:assert/strict";
import {
  ApiKey,
  ApiKeyList,
  CreatedApiKey,
  CreatedTenant,
  Member,
  MemberList,
  RotatedApiKey,
  TenantList,
} from "../../shared/contracts/tenants.ts";
import { createUser, signIn } from "../conformance/auth/support/users.ts";
import { project } from "../support/project.ts";
import { assertProblem } from "../support/problem.ts";
import { type Api, api, createApp } from "../support/tenant.ts";

const service = api(project.secretKey);

/** A user of Supabase Auth who is signed in, and deleted in the end. */
async function person(): Promise<{ id: string; email: string; as(tenantId: string): Api; api: Api } & AsyncDisposable> {
  const user = await createUser();
  const { token } = await signIn(user.email);
  return {
    ...user,
    as: (tenantId) => api(token, { "x-tenant-id": tenantId }),
    api: api(token),
    [Symbol.asyncDispose]: () => user[Symbol.asyncDispose](),
  };
}

async function bootstrapped(adminUserId: string): Promise<string> {
  const { status, body } = await service("/tenants", { json: { name: `t-${crypto.randomUUID()}`, adminUserId } });
  assert.equal(status, 201, JSON.stringify(body));
  return body.id;
}

Deno.test("the secret key makes a tenant with its first admin, who then runs it with a token of Supabase Auth", async () => {
  await using ada = await person();
  await using bea = await person();
  const name = `lab-${crypto.randomUUID()}`;
  const first = await service("/tenants", { json: { name, adminEmail: ada.email } });
  assert.equal(first.status, 201, JSON.stringify(first.body));
  const tenant = CreatedTenant.strict().parse(first.body);
  assert.deepEqual([tenant.name, tenant.created, tenant.adminUserId], [name, true, ada.id]);
  const again = await service("/tenants", { json: { name, adminUserId: ada.id } });
  assert.deepEqual([again.status, again.body], [200, { ...tenant, created: false }]);
  assertProblem(await service("/tenants", { json: { name, adminUserId: bea.id } }), "conflict", /has an admin/);
  assertProblem(
    await service("/tenants", { json: { name: "x", adminEmail: "nobody@example.com" } }),
    "not_found",
    /user/,
  );

  const mine = await ada.api("/tenants");
  const { tenants } = TenantList.parse(mine.body);
  assert.deepEqual(tenants.map(({ id, role }) => [id, role]), [[tenant.id, "admin"]]);
  assert.deepEqual((await bea.api("/tenants")).body, { tenants: [], nextCursor: null });
  const key = await ada.as(tenant.id)("/tenants/api-keys", { json: { executorName: "shop" } });
  assert.equal(key.status, 201, JSON.stringify(key.body));
  const { apiKey, scopes } = CreatedApiKey.strict().parse(key.body);
  assert.deepEqual(scopes, ["read", "submit"]);
  assert.equal((await api(apiKey)("/jobs", { json: { type: "a" } })).status, 201);
  assert.deepEqual((await api(apiKey)("/tenants")).body.tenants.map(({ id }: { id: string }) => id), [tenant.id]);
});

Deno.test("only the secret key makes tenants", async () => {
  await using ada = await person();
  const tenantId = await bootstrapped(ada.id);
  const { key } = await createApp();
  const json = { name: `mine-${crypto.randomUUID()}` };
  for (const caller of [ada.api, ada.as(tenantId), api(key.apiKey)]) {
    assertProblem(await caller("/tenants", { json }), "forbidden");
  }
  assertProblem(await api(null)("/tenants", { json }), "unauthenticated");
  assert.deepEqual((await service(`/tenants?name=${json.name}`)).body.tenants, []);
});

Deno.test("an admin adds members by id or address, changes their roles and removes them; others do not", async () => {
  await using ada = await person();
  await using bea = await person();
  await using cleo = await person();
  const tenantId = await bootstrapped(ada.id);
  const admin = ada.as(tenantId);
  const added = await admin("/tenants/members", { json: { email: bea.email, role: "viewer" } });
  assert.equal(added.status, 201, JSON.stringify(added.body));
  assert.deepEqual(Member.strict().parse(added.body).userId, bea.id);
  assertProblem(
    await bea.as(tenantId)("/tenants/members", { json: { userId: cleo.id, role: "admin" } }),
    "forbidden",
    /administer/,
  );
  assertProblem(
    await bea.as(tenantId)(`/tenants/members/${bea.id}/role`, { json: { role: "admin" } }),
    "forbidden",
  );
  assertProblem(await bea.as(tenantId)("/jobs", { json: { type: "a" } }), "forbidden");
  assert.equal((await admin(`/tenants/members/${bea.id}/role`, { json: { role: "editor" } })).body.role, "editor");
  assert.equal((await bea.as(tenantId)("/jobs", { json: { type: "a" } })).status, 201);

  const seen = MemberList.parse((await bea.as(tenantId)("/tenants/members")).body).members;
  assert.deepEqual(seen.map(({ userId, email }) => [userId, email]), [[ada.id, null], [bea.id, null]]);
  const { members } = MemberList.parse((await admin("/tenants/members")).body);
  assert.deepEqual(members.map(({ email, role }) => [email, role]), [[ada.email, "admin"], [bea.email, "editor"]]);

  assert.equal((await admin(`/tenants/members/${bea.id}/remove`, { method: "POST" })).status, 200);
  assertProblem(await bea.as(tenantId)("/jobs"), "forbidden", /membership/);
  assertProblem(await admin(`/tenants/members/${bea.id}/remove`, { method: "POST" }), "not_found");
  assertProblem(await admin(`/tenants/members/${ada.id}/remove`, { method: "POST" }), "conflict", /last admin/);
  assertProblem(await admin(`/tenants/members/${ada.id}/role`, { json: { role: "viewer" } }), "conflict", /last admin/);
});

Deno.test("a user who was deleted in Supabase Auth is a member no longer", async () => {
  await using ada = await person();
  const bea = await person();
  const tenantId = await bootstrapped(ada.id);
  await ada.as(tenantId)("/tenants/members", { json: { userId: bea.id, role: "editor" } });
  await bea[Symbol.asyncDispose]();
  const { members } = (await ada.as(tenantId)("/tenants/members")).body;
  assert.deepEqual(members.map(({ userId }: Member) => userId), [ada.id]);
});

Deno.test("an API key is rotated with an overlap, then revoked, and never shown again", async () => {
  await using ada = await person();
  const tenantId = await bootstrapped(ada.id);
  const admin = ada.as(tenantId);
  const make = async (json: object) => CreatedApiKey.parse((await admin("/tenants/api-keys", { json })).body);
  const old = await make({ executorName: "shop", scopes: ["read"] });
  const rotation = await admin(`/tenants/api-keys/${old.id}/rotate`, { json: { overlapSeconds: 3600 } });
  assert.equal(rotation.status, 201, JSON.stringify(rotation.body));
  const made = RotatedApiKey.strict().parse(rotation.body);
  assert.deepEqual([made.scopes, made.executorId, made.replaces.id], [["read"], old.executorId, old.id]);
  for (const { apiKey } of [old, made]) {
    assert.equal((await api(apiKey)("/jobs")).status, 200);
    assertProblem(await api(apiKey)("/jobs", { json: { type: "a" } }), "forbidden", /submit/);
  }
  assertProblem(await admin(`/tenants/api-keys/${old.id}/rotate`, { json: {} }), "conflict", /replaced/);
  const revoked = await admin(`/tenants/api-keys/${old.id}/revoke`, { method: "POST" });
  assert.notEqual(ApiKey.strict().parse(revoked.body).revokedAt, null);
  assertProblem(await api(old.apiKey)("/jobs"), "unauthenticated", /revoked/);
  assert.equal((await api(made.apiKey)("/jobs")).status, 200);

  const listed = await admin("/tenants/api-keys");
  const { apiKeys } = ApiKeyList.parse(listed.body);
  assert.deepEqual(apiKeys.map(({ id }) => id), [made.id, old.id]);
  const text = JSON.stringify(listed.body);
  for (const { apiKey } of [old, made]) assert.ok(!text.includes(apiKey.slice(12)));
  const usable = await api(made.apiKey)("/tenants/api-keys?usable=true&executorName=shop");
  assert.deepEqual(usable.body.apiKeys.map(({ id }: ApiKey) => id), [made.id]);
  const page = await admin("/tenants/api-keys?limit=1");
  const rest = await admin(`/tenants/api-keys?limit=1&cursor=${encodeURIComponent(page.body.nextCursor)}`);
  assert.deepEqual([rest.body.apiKeys.map(({ id }: ApiKey) => id), rest.body.nextCursor], [[old.id], null]);
});

Deno.test("no API key manages keys or members, whatever its scopes", async () => {
  await using ada = await person();
  const tenantId = await bootstrapped(ada.id);
  const json = { executorName: "shop", scopes: ["read", "submit", "operate", "publish"] };
  const { body: key } = await ada.as(tenantId)("/tenants/api-keys", { json });
  const app = api(key.apiKey);
  assertProblem(await app("/tenants/api-keys", { json }), "forbidden", /administer/);
  assertProblem(await app(`/tenants/api-keys/${key.id}/rotate`, { json: {} }), "forbidden");
  assertProblem(await app(`/tenants/api-keys/${key.id}/revoke`, { method: "POST" }), "forbidden");
  assertProblem(await app("/tenants/members", { json: { userId: ada.id, role: "viewer" } }), "forbidden");
  assertProblem(await app(`/tenants/members/${ada.id}/remove`, { method: "POST" }), "forbidden");
});

Deno.test("keys and members of another tenant are as unknown as none at all", async () => {
  await using ada = await person();
  await using bea = await person();
  const [ours, theirs] = [await bootstrapped(ada.id), await bootstrapped(bea.id)];
  const { body: key } = await bea.as(theirs)("/tenants/api-keys", { json: { executorName: "shop" } });
  const admin = ada.as(ours);
  assertProblem(await admin(`/tenants/api-keys/${key.id}/revoke`, { method: "POST" }), "not_found");
  assertProblem(await admin(`/tenants/api-keys/${key.id}/rotate`, { json: {} }), "not_found");
  assertProblem(await admin(`/tenants/members/${bea.id}/remove`, { method: "POST" }), "not_found");
  assertProblem(await admin(`/tenants/members/${bea.id}/role`, { json: { role: "viewer" } }), "not_found");
  assertProblem(await ada.as(theirs)("/tenants/api-keys"), "forbidden", /membership/);
  assert.deepEqual((await admin("/tenants/api-keys")).body.apiKeys, []);
  assert.equal((await api(key.apiKey)("/jobs")).status, 200);
});

Deno.test("what is wrong with a tenant, a member or a key is said", async () => {
  await using ada = await person();
  const tenantId = await bootstrapped(ada.id);
  const admin = ada.as(tenantId);
  const past = new Date(Date.now() - 1000).toISOString();
  const slips: [string, unknown, RegExp][] = [
    ["/tenants/members", { role: "viewer" }, /email must be given, or userId/],
    ["/tenants/members", { role: "viewer", userId: ada.id, email: ada.email }, /not both/],
    ["/tenants/members", { role: "owner", userId: ada.id }, /role/],
    ["/tenants/members", { role: "viewer", email: "nobody" }, /e-mail/],
    ["/tenants/api-keys", { executorName: "" }, /executorName/],
    ["/tenants/api-keys", { executorName: "a", scopes: ["administer"] }, /scopes/],
    ["/tenants/api-keys", { executorName: "a", scopes: [] }, /scopes/],
    ["/tenants/api-keys", { executorName: "a", expiresAt: past }, /future/],
    [`/tenants/api-keys/${crypto.randomUUID()}/rotate`, { overlapSeconds: -1 }, /overlapSeconds/],
    [`/tenants/api-keys/${crypto.randomUUID()}/rotate`, { overlapSeconds: 2_592_001 }, /overlapSeconds/],
    ["/tenants/api-keys/x/revoke", {}, /UUID/],
  ];
  for (const [path, json, detail] of slips) {
    assertProblem(await admin(path, { json }), "invalid_request", detail);
  }
  assertProblem(
    await service("/tenants", { json: { name: "x", adminUserId: ada.id, adminEmail: ada.email } }),
    "invalid_request",
    /adminUserId/,
  );
  assertProblem(await admin("/tenants?name=a&owner=b"), "invalid_request", /owner unknown field/);
});
