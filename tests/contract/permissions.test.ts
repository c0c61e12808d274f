import assert from "node:assert/strict";
import postgres from "postgres";
import openApi from "../../docs/openapi.json" with { type: "json" };
import type { ApiKeyScope } from "../../shared/contracts/tenants.ts";
import { routes } from "../permissions/matrix.ts";
import { routeRequests, type Scene } from "../permissions/route-requests.ts";
import { enrollDevice } from "../support/device.ts";
import { project } from "../support/project.ts";
import { type Api, api, createApiKey, createEnrollmentToken, createTenant } from "../support/tenant.ts";
import { createUser, signIn } from "../conformance/auth/support/users.ts";

Deno.test("everybody may use every route that the matrix says, and no other", async (t) => {
  const [own, other] = [await createScene(), await createScene()];
  const callers = await createCallers(own, other);

  await t.step("the matrix has a row for every route", () => {
    const documented = Object.entries(openApi.paths).flatMap(([path, methods]) =>
      Object.keys(methods).filter((key) => ["get", "post", "put", "patch", "delete"].includes(key)).map((method) =>
        `${method.toUpperCase()} ${path}`
      )
    );
    assert.deepEqual([...routes.rows.keys()].sort(), documented.sort());
    assert.deepEqual(Object.keys(routeRequests).sort(), documented.sort(), "requests");
    assert.deepEqual([...routes.columns].sort(), Object.keys(callers).sort());
  });
  for (const column of routes.columns) {
    await t.step(column, async () => {
      const found: Record<string, string> = {};
      const written: Record<string, string> = {};
      const scene = column.endsWith("worker") ? { ...own, held: await hold(own) } : own;
      for (const [route, cells] of routes.rows) {
        written[route] = cells.get(column)!;
        found[route] = await outcome(callers[column]!, route, scene, column);
      }
      assert.deepEqual(found, written);
    });
  }
});

async function outcome(caller: Api, route: string, own: Scene, column: string): Promise<string> {
  // It keeps what it holds, however long the other routes take.
  if (column.endsWith("worker")) {
    const { jobId, attempt } = own.held;
    await own.worker.rpc("heartbeat", { running: [{ job_id: jobId, attempt }] });
  }
  const { path, ...request } = await routeRequests[route]!(own, { isWorker: column.endsWith("worker") });
  const { status, body } = await caller(path, request);
  assert.ok(status < 500, `${route} by ${column}: ${status} ${JSON.stringify(body)}`);
  // Let in, though the thing's state may not allow it: nothing was uploaded.
  if (status < 300 || status === 409) {
    if (!column.startsWith("other")) return "ok";
    return JSON.stringify(body).includes(own.tenantId) ? "ok" : "none";
  }
  return [401, 403, 404].includes(status) ? String(status) : `${status} ${body.code}`;
}

async function createScene(): Promise<Scene> {
  const tenant = await createTenant();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const worker = await enrollDevice(enrollmentToken);
  const admin = api(project.secretKey, { "x-tenant-id": tenant.id });
  const scene = { tenantId: tenant.id, admin, worker };
  return { ...scene, held: await hold(scene) };
}

/** Gives the worker a job to hold. */
async function hold({ admin, worker }: Omit<Scene, "held">): Promise<Scene["held"]> {
  await worker.rpc("hello", { worker: { capabilities: ["compute/basic"], slots: 2 }, running: [] });
  await admin("/jobs", { json: { type: "held", requires: ["compute/basic"] } });
  const { jobs: [held] } = await worker.rpc("claim_jobs", { want: 1 });
  return { jobId: held.job_id, attempt: held.attempt };
}

async function createCallers(own: Scene, other: Scene): Promise<Record<string, Api>> {
  const { tenantId } = own;
  const member = (role: string, of = tenantId): Promise<Api> => createUserWith(role, of, tenantId);
  const key = async (...scopes: ApiKeyScope[]): Promise<Api> => api((await createApiKey(tenantId, { scopes })).apiKey);
  const read = await createApiKey(tenantId);
  const { body: client } = await api(read.apiKey)("/enroll/client-token", { method: "POST" });
  return {
    "nobody": api(null),
    "visitor": api(project.publishableKey, { apikey: project.publishableKey }),
    "outsider": await createUserWith(null, tenantId, tenantId),
    "viewer": await member("viewer"),
    "publisher": await member("publisher"),
    "editor": await member("editor"),
    "admin": await member("admin"),
    "other admin": await createUserWith("admin", other.tenantId, other.tenantId),
    "key: read": await key("read"),
    "key: submit": await key("read", "submit"),
    "key: operate": await key("read", "operate"),
    "client": api(client.accessToken),
    "worker": api(own.worker.enrolled.accessToken),
    "other worker": api(other.worker.enrolled.accessToken),
    "service": own.admin,
  };
}

/** A signed-in user who acts in a tenant, with a role in one, or none. */
async function createUserWith(role: string | null, memberOf: string, actsIn: string): Promise<Api> {
  const user = await createUser();
  if (role !== null) {
    const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
    try {
      await sql`insert into muster.members (tenant_id, user_id, role) values (${memberOf}, ${user.id}, ${role})`;
    } finally {
      await sql.end();
    }
  }
  const { token } = await signIn(user.email);
  return api(token, { "x-tenant-id": actsIn });
}
