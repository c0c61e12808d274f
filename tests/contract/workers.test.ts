import assert from "node:assert/strict";
import postgres from "postgres";
import { Worker, WorkerList } from "../../shared/contracts/workers.ts";
import { WorkerRevokedError } from "../../shared/errors.ts";
import { until } from "../support/database.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { project } from "../support/project.ts";
import { assertProblem } from "../support/problem.ts";
import { api, createApp, createEnrollmentToken } from "../support/tenant.ts";

async function createFleet() {
  const app = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(app.tenant.id, { labels: { site: "lab" } });
  const gpu = await enrollDevice(enrollmentToken, { name: "gpu-1", capabilities: ["compute/gpu"], slots: 2 });
  const cpu = await enrollDevice(enrollmentToken, { name: "cpu-1", capabilities: ["compute/basic"] });
  return { ...app, gpu, cpu };
}

Deno.test("GET /workers lists the tenant's workers, and filters", async () => {
  const { api, gpu, cpu } = await createFleet();
  await gpu.rpc("hello", { worker: { capabilities: ["compute/gpu"], slots: 2, version: "1.2.3" }, running: [] });
  const { status, body } = await api("/workers");
  assert.equal(status, 200, JSON.stringify(body));
  const { workers } = WorkerList.strict().parse(body);
  assert.deepEqual(workers.map(({ name }) => name).sort(), ["cpu-1", "gpu-1"]);
  const online = await api("/workers?status=online");
  assert.deepEqual(online.body.workers.map(({ id }: Worker) => id), [gpu.enrolled.workerId]);
  const basic = await api("/workers?capability=compute/basic");
  assert.deepEqual(basic.body.workers.map(({ id }: Worker) => id), [cpu.enrolled.workerId]);
  assertProblem(await api("/workers?status=asleep"), "invalid_request");
  assertProblem(await api("/workers?color=red"), "invalid_request");
});

Deno.test("GET /workers/:id tells about one worker", async () => {
  const { api, gpu } = await createFleet();
  await gpu.rpc("hello", { worker: { capabilities: ["compute/gpu"], slots: 2, version: "1.2.3" }, running: [] });
  const { body: job } = await api("/jobs", { json: { type: "a", requires: ["compute/gpu"] } });
  await claimJobs(gpu.rpc);
  const { status, body } = await api(`/workers/${gpu.enrolled.workerId}`);
  assert.equal(status, 200);
  const worker = Worker.strict().parse(body);
  assert.deepEqual([worker.name, worker.status, worker.slots, worker.heldCount], ["gpu-1", "online", 2, 1]);
  assert.deepEqual([worker.capabilities, worker.labels, worker.version], [["compute/gpu"], { site: "lab" }, "1.2.3"]);
  assert.deepEqual(worker.currentJobs, [job.id]);
  assert.ok(worker.lastSeenAt !== null);
});

Deno.test("a drained worker gets nothing new until it is resumed", async () => {
  const { api, cpu } = await createFleet();
  await cpu.rpc("hello", { worker: { capabilities: ["compute/basic"], slots: 1 }, running: [] });
  const path = `/workers/${cpu.enrolled.workerId}`;
  const drained = await api(`${path}/drain`, { method: "POST" });
  assert.equal(drained.status, 200, JSON.stringify(drained.body));
  assert.equal(Worker.strict().parse(drained.body).status, "draining");
  await api("/jobs", { json: { type: "a", requires: ["compute/basic"] } });
  assert.deepEqual(await claimJobs(cpu.rpc), []);
  const resumed = await api(`${path}/resume`, { method: "POST" });
  assert.equal(resumed.status, 200);
  assert.deepEqual([resumed.body.status, resumed.body.drainRequestedAt], ["online", null]);
  assert.equal((await claimJobs(cpu.rpc)).length, 1);
});

Deno.test("a revoked worker is shut out at once, and only an administrator revokes", async () => {
  const { api: app, tenant, gpu } = await createFleet();
  const path = `/workers/${gpu.enrolled.workerId}/revoke`;
  assertProblem(await app(path, { method: "POST" }), "forbidden");
  const administrator = api(project.secretKey, { "x-tenant-id": tenant.id });
  const revoked = await administrator(path, { method: "POST" });
  assert.equal(revoked.status, 200, JSON.stringify(revoked.body));
  assert.equal(Worker.strict().parse(revoked.body).status, "revoked");
  await assert.rejects(gpu.rpc("claim_jobs", { want: 1 }), WorkerRevokedError);
  const proof = await gpu.device.refreshProof(gpu.enrolled.workerId);
  assertProblem(
    await api(null)("/enroll/refresh", { json: { workerId: gpu.enrolled.workerId, proof } }),
    "worker_revoked",
  );
});

Deno.test("a worker of another tenant does not exist", async () => {
  const { gpu } = await createFleet();
  const other = await createApp();
  const path = `/workers/${gpu.enrolled.workerId}`;
  assertProblem(await other.api(path), "not_found");
  assertProblem(await other.api(`${path}/drain`, { method: "POST" }), "not_found");
  assertProblem(await other.api(`${path}/resume`, { method: "POST" }), "not_found");
  const administrator = api(project.secretKey, { "x-tenant-id": other.tenant.id });
  assertProblem(await administrator(`${path}/revoke`, { method: "POST" }), "not_found");
  assert.deepEqual((await other.api("/workers")).body.workers, []);
});

Deno.test("an ephemeral worker that said goodbye vanishes by the tick, and its job keeps its id and name", async () => {
  const { tenant, api } = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id, { ephemeral: true });
  const { enrolled: { workerId }, rpc } = await enrollDevice(enrollmentToken, { name: "spot-1" });
  await rpc("hello", { worker: {} });
  const { body: { id } } = await api("/jobs", { json: { type: "a" } });
  const [{ job_id, attempt }] = await claimJobs(rpc);
  await rpc("complete_jobs", { results: [{ job_id, attempt, status: "succeeded", result: 1 }], want: 0 });
  assert.equal((await api(`/workers/${workerId}`)).body.ephemeral, true);
  await rpc("goodbye");

  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    // Half a minute, which the test does not wait for.
    await sql`update muster.worker_devices set forget_at = forget_at - interval '1 minute' where id = ${workerId}`;
  } finally {
    await sql.end();
  }
  await until(async () => (await api(`/workers/${workerId}`)).status === 404, "the tick has forgotten the worker");
  assert.deepEqual((await api("/workers")).body.workers, []);
  const { body: job } = await api(`/jobs/${id}`);
  assert.deepEqual([job.status, job.workerId, job.workerName], ["succeeded", workerId, "spot-1"]);
});
