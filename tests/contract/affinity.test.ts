import assert from "node:assert/strict";
import { HeldResourceList } from "../../shared/contracts/affinity.ts";
import { Job } from "../../shared/contracts/jobs.ts";
import { Worker } from "../../shared/contracts/workers.ts";
import { until } from "../support/database.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { api, createApiKey, createApp, createEnrollmentToken } from "../support/tenant.ts";

async function createPair() {
  const app = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(app.tenant.id);
  const [one, two] = [await enrollDevice(enrollmentToken), await enrollDevice(enrollmentToken)];
  for (const { rpc } of [one, two]) await rpc("hello", { worker: { slots: 2 }, running: [] });
  return { ...app, one, two, idOf: (device: typeof one) => device.enrolled.workerId };
}

Deno.test("a job's affinity is answered as it was submitted, and its worker gets the jobs of its key", async () => {
  const { api, one, two, idOf } = await createPair();
  const affinity = { key: "session-7", mode: "hard", waitSeconds: 0, keepSeconds: 60 };
  const first = await api("/jobs", { json: { type: "a", affinity } });
  assert.equal(first.status, 201, JSON.stringify(first.body));
  assert.deepEqual(Job.parse(first.body).affinity, affinity);
  const second = await api("/jobs", { json: { type: "a", affinity } });
  const [ofOne, ofTwo] = [await claimJobs(one.rpc, 2), await claimJobs(two.rpc, 2)];
  assert.deepEqual([ofOne.length, ofTwo.length].sort(), [0, 2]);
  const holder = ofOne.length === 2 ? one : two;
  const { body } = await api(`/jobs/${second.body.id}`);
  assert.equal(body.workerId, idOf(holder));
});

Deno.test("an affinity that does not fit the schema is refused with its place", async () => {
  const { api } = await createApp();
  const bad: [unknown, RegExp][] = [
    [{ affinity: { key: "" } }, /affinity/],
    [{ affinity: { key: "k", mode: "firm" } }, /affinity/],
    [{ affinity: { key: "k", keepSeconds: 0 } }, /affinity/],
    [{ resourceRef: { name: "m", keepSeconds: 5 } }, /resourceRef/],
    [{ resourceRef: "m" }, /resourceRef/],
  ];
  for (const [fields, place] of bad) {
    const answer = await api("/jobs", { json: { type: "a", ...fields as object } });
    assertProblem(answer, "invalid_request");
    assert.match(JSON.stringify(answer.body), place);
  }
});

Deno.test("a job follows the resource that it names, and GET /workers/resources tells who holds it", async () => {
  const { api, two, one, idOf } = await createPair();
  const { body: job } = await api("/jobs", { json: { type: "a", resourceRef: { name: "model" } } });
  assert.deepEqual([job.status, job.waitingFor], ["blocked", "affinity"]);
  await two.rpc("hold_resources", {
    resources: [{ name: "model", lease_seconds: 60, metadata: { layer_count: 80 } }],
  });
  const { status, body } = await api("/workers/resources?name=model");
  assert.equal(status, 200, JSON.stringify(body));
  const [held] = HeldResourceList.strict().parse(body).resources;
  assert.deepEqual([held!.workerId, held!.leaseSeconds, held!.metadata], [idOf(two), 60, { layer_count: 80 }]);
  assert.deepEqual(await claimJobs(one.rpc), []);
  const claimed: string[] = [];
  // A tick that looks at the job just now may have it in hand, and the next one lets it in.
  await until(async () => {
    claimed.push(...(await claimJobs(two.rpc)).map(({ job_id }: { job_id: string }) => job_id));
    return claimed.length > 0;
  }, "the holder gets the job");
  assert.deepEqual(claimed, [job.id]);
  await two.rpc("release_resources", { names: ["model"], reason: "evicted" });
  assert.deepEqual((await api(`/workers/resources?workerId=${idOf(two)}`)).body.resources, []);
  assertProblem(await api("/workers/resources?color=red"), "invalid_request");
  assert.deepEqual((await (await createApp()).api("/workers/resources")).body.resources, []);
});

Deno.test("POST /jobs/:id/rebind names the worker of a job, for who may operate", async () => {
  const { api: app, tenant, one, two, idOf } = await createPair();
  const { apiKey } = await createApiKey(tenant.id, { scopes: ["read", "operate"] });
  const { apiKey: submitter } = await createApiKey(tenant.id, { scopes: ["read", "submit"] });
  const operator = api(apiKey);
  const { body: job } = await app("/jobs", { json: { type: "a" } });
  const path = `/jobs/${job.id}/rebind`;
  assertProblem(await api(submitter)(path, { json: { workerId: idOf(two) } }), "forbidden");
  assertProblem(await operator(path, { json: {} }), "invalid_request");
  const bound = await operator(path, { json: { workerId: idOf(two) } });
  assert.equal(bound.status, 200, JSON.stringify(bound.body));
  assert.equal(Job.parse(bound.body).boundTo, idOf(two));
  assert.deepEqual(await claimJobs(one.rpc), []);
  assert.equal((await claimJobs(two.rpc))[0].job_id, job.id);
  const { body: gpu } = await app("/jobs", { json: { type: "a", requires: ["gpu"] } });
  assertProblem(await operator(`/jobs/${gpu.id}/rebind`, { json: { workerId: idOf(one) } }), "no_match");
  assertProblem(await operator(`/jobs/${gpu.id}/rebind`, { json: { workerId: crypto.randomUUID() } }), "not_found");
});

Deno.test("a cordoned worker stays online and gets nothing new until it is uncordoned", async () => {
  const { api: app, tenant, one, two, idOf } = await createPair();
  const { apiKey } = await createApiKey(tenant.id, { scopes: ["read", "operate"] });
  const operator = api(apiKey);
  await two.rpc("goodbye");
  const cordoned = await operator(`/workers/${idOf(one)}/cordon`, { method: "POST" });
  assert.equal(cordoned.status, 200, JSON.stringify(cordoned.body));
  const worker = Worker.strict().parse(cordoned.body);
  assert.deepEqual([worker.status, worker.cordonedAt !== null], ["online", true]);
  await app("/jobs", { json: { type: "a" } });
  assert.deepEqual(await claimJobs(one.rpc), []);
  const back = await operator(`/workers/${idOf(one)}/uncordon`, { method: "POST" });
  assert.deepEqual([back.status, back.body.cordonedAt], [200, null]);
  assert.equal((await claimJobs(one.rpc)).length, 1);
});
