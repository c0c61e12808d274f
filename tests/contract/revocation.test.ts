import assert from "node:assert/strict";
import postgres from "postgres";
import { RealtimeSocket } from "../../local/testing/realtime-socket.ts";
import { channels } from "../../shared/channels.ts";
import { Device, enrollDevice, workerRpc } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { openSecrets } from "../support/secrets.ts";
import { api, createEnrollmentToken, createTenant } from "../support/tenant.ts";
import { workerCalls } from "../support/worker-calls.ts";

Deno.test("a revoked worker is shut out at once: every call, every route, the next token, the next join", async (t) => {
  const tenant = await createTenant();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const machine = await enrollDevice(enrollmentToken);
  const { device, enrolled: { workerId, accessToken } } = machine;
  const names = await callableByWorkers();
  assert.deepEqual(names, Object.keys(workerCalls).sort(), "every function that a worker may call is in the table");
  const id = crypto.randomUUID();
  const artifact = { name: "a", sizeBytes: 1, sha256: "0".repeat(64), contentType: "text/plain" };
  const join = (socket: RealtimeSocket, topic: string) =>
    socket.request(`realtime:${topic}`, "phx_join", { config: { private: true }, access_token: accessToken });
  const topics = [
    channels.workerTasks(workerId),
    channels.fleetPresence(tenant.id),
    channels.workerWakeup(tenant.id),
  ];

  await t.step("before, they are open", async () => {
    await workerRpc(accessToken, "hello", { worker: {} });
    using socket = await RealtimeSocket.open(project.url, project.publishableKey);
    for (const topic of topics) assert.equal((await join(socket, topic)).payload.status, "ok", topic);
    assertProblem(await api(accessToken)(`/artifacts/${id}`), "not_found");
  });

  const operator = api(project.secretKey, { "x-tenant-id": tenant.id });
  assert.equal((await operator(`/workers/${workerId}/revoke`, { method: "POST" })).status, 200);

  for (const [name, args] of Object.entries(workerCalls)) {
    await t.step(`rpc ${name}`, async () => {
      await assert.rejects(workerRpc(accessToken, name, args), { code: "worker_revoked" });
    });
  }
  const worker = api(accessToken);
  const enroll = api(null);
  const routes: Record<string, () => ReturnType<typeof worker>> = {
    "POST /artifacts": () => worker("/artifacts", { json: { ...artifact, jobId: id, attempt: 1 } }),
    "GET /artifacts/:id": () => worker(`/artifacts/${id}`),
    "GET /artifacts/:id/download": () => worker(`/artifacts/${id}/download`),
    "POST /artifacts/:id/finish": () => worker(`/artifacts/${id}/finish`, { method: "POST" }),
    "POST /secrets/open": () => openSecrets(machine, { jobId: id }),
    "POST /enroll/refresh": async () =>
      enroll("/enroll/refresh", { json: { workerId, proof: await device.refreshProof(workerId) } }),
    "POST /enroll/rotate": async () =>
      enroll("/enroll/rotate", { json: await device.rotateRequest(workerId, await Device.create()) }),
    "POST /enroll with the same key": async () =>
      enroll("/enroll", { json: await device.enrollRequest(enrollmentToken) }),
  };
  for (const [route, call] of Object.entries(routes)) {
    await t.step(route, async () => assertProblem(await call(), "worker_revoked"));
  }
  await t.step("its channels", async () => {
    await Promise.all(topics.map(async (topic) => {
      using socket = await RealtimeSocket.open(project.url, project.publishableKey);
      assert.equal((await join(socket, topic)).payload.status, "error", topic);
    }));
  });
});

async function callableByWorkers(): Promise<string[]> {
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    const rows = await sql`
      select p.proname as name from pg_proc p
      where p.pronamespace = 'muster'::regnamespace and has_function_privilege('muster_worker', p.oid, 'execute')`;
    return rows.map(({ name }) => name).sort();
  } finally {
    await sql.end();
  }
}
