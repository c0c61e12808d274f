import assert from "node:assert/strict";
import { ConcurrencyKey, ConcurrencyKeyList, RateLimitList } from "../../shared/contracts/gates.ts";
import { Job, JobList, SubmitJobsAnswer } from "../../shared/contracts/jobs.ts";
import { until } from "../support/database.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { type Api, createApp, createEnrollmentToken } from "../support/tenant.ts";

/** An app and a machine of its tenant that can do `test/gates`. */
async function createScene() {
  const app = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(app.tenant.id);
  const machine = await enrollDevice(enrollmentToken, { capabilities: ["test/gates"], slots: 10 });
  await machine.rpc("hello", { worker: { capabilities: ["test/gates"], slots: 10 }, running: [] });
  const end = (jobs: { job_id: string; attempt: number }[], status = "succeeded") =>
    machine.rpc("complete_jobs", {
      results: jobs.map(({ job_id, attempt }) => ({
        job_id,
        attempt,
        status,
        ...(status === "failed" ? { error: { message: "It broke", retryable: false } } : {}),
      })),
    });
  return { ...app, machine, end };
}

const job = { type: "test", requires: ["test/gates"] };

async function submitMany(api: Api, json: unknown): Promise<SubmitJobsAnswer> {
  const { status, body } = await api("/jobs", { json });
  assert.equal(status, 201, JSON.stringify(body));
  return SubmitJobsAnswer.parse(body);
}

const read = async (api: Api, id: string): Promise<Job> => Job.parse((await api(`/jobs/${id}`)).body);

Deno.test("jobs run one after the other by `after`, and fail with what they come after", async () => {
  const { api, machine, end } = await createScene();
  const { jobs } = await submitMany(api, {
    jobs: [job, { ...job, after: ["#0"] }, { ...job, after: ["#1", "#0"], afterPolicy: "ended" }],
  });
  const [first, second, third] = jobs.map((item) => item.job);
  assert.deepEqual([second!.status, second!.waitingFor, second!.after], ["blocked", "dependencies", [first!.id]]);
  assert.equal(third!.afterPolicy, "ended");
  const fourth = await api("/jobs", { json: { ...job, after: [second!.id] } });
  assert.equal(fourth.status, 201);
  await end(await claimJobs(machine.rpc, 10));
  const held = await claimJobs(machine.rpc, 10);
  assert.deepEqual(held.map(({ job_id }: { job_id: string }) => job_id), [second!.id]);
  await end(held, "failed");
  const { error } = await read(api, fourth.body.id);
  assert.deepEqual([error?.code, error?.details], ["dependency_failed", { jobId: second!.id }]);
  assert.deepEqual((await claimJobs(machine.rpc, 10)).map(({ job_id }: { job_id: string }) => job_id), [third!.id]);
  assertProblem(await api("/jobs", { json: { ...job, after: [crypto.randomUUID()] } }), "not_found", /no such job/);
  assertProblem(await api("/jobs", { json: { ...job, after: ["#0"] } }), "invalid_request", /earlier/);
  assertProblem(await api("/jobs", { json: { ...job, after: ["first"] } }), "invalid_request");
});

Deno.test("concurrencyPolicy rejects with E.CMD.CONCURRENCY_VIOLATION, or replaces", async () => {
  const { api, machine } = await createScene();
  const single = { ...job, concurrencyKey: "printer" };
  const first = await api("/jobs", { json: { ...single, concurrencyPolicy: "reject" } });
  assert.deepEqual([first.status, first.body.concurrencyPolicy], [201, "reject"]);
  const refused = await api("/jobs", { json: { jobs: [job, { ...single, concurrencyPolicy: "reject" }] } });
  assertProblem(refused, "E.CMD.CONCURRENCY_VIOLATION", new RegExp(`printer.*1.*${first.body.id}`));
  assert.equal(refused.status, 409);
  await claimJobs(machine.rpc);
  const second = await api("/jobs", { json: { ...single, concurrencyPolicy: "replace" } });
  assert.deepEqual([second.status, second.body.status], [201, "queued"]);
  const replaced = await read(api, first.body.id);
  assert.deepEqual([replaced.status, replaced.error?.code], ["cancelled", "replaced"]);
  const { stop } = await machine.rpc("heartbeat", { running: [{ job_id: first.body.id, attempt: 1 }] });
  assert.deepEqual(stop, [{ job_id: first.body.id, attempt: 1, reason: "cancelled" }]);
  assert.equal(JobList.parse((await api("/jobs")).body).jobs.length, 2, "nothing of the refused request is stored");
  assertProblem(
    await api("/jobs", { json: { ...job, concurrencyPolicy: "reject" } }),
    "invalid_request",
    /needs a concurrency key/,
  );
});

Deno.test("concurrency keys are listed, paused and opened again", async () => {
  const { api, machine } = await createScene();
  const path = `/jobs/concurrency-keys/${encodeURIComponent("line 3/a")}`;
  const set = (limit: unknown) => api(path, { method: "PUT", json: { limit } });
  const paused = await set(0);
  assert.equal(paused.status, 200, JSON.stringify(paused.body));
  assert.deepEqual(ConcurrencyKey.strict().parse(paused.body), {
    key: "line 3/a",
    limit: 0,
    fixed: true,
    admitted: 0,
    waiting: 0,
  });
  await submitMany(api, { jobs: Array(3).fill({ ...job, concurrencyKey: "line 3/a" }) });
  assert.deepEqual(await claimJobs(machine.rpc, 10), []);
  assert.deepEqual((await set(2)).body, { key: "line 3/a", limit: 2, fixed: true, admitted: 2, waiting: 1 });
  assert.equal((await claimJobs(machine.rpc, 10)).length, 2);
  const { keys, nextCursor } = ConcurrencyKeyList.strict().parse((await api("/jobs/concurrency-keys?limit=1")).body);
  assert.deepEqual([keys.map(({ key, admitted }) => [key, admitted]), nextCursor], [[["line 3/a", 2]], null]);
  assert.equal((await set(null)).body.fixed, false);
  for (const limit of [-1, 1001, 1.5, "1", undefined]) assertProblem(await set(limit), "invalid_request");
});

Deno.test("a rate limit lets jobs start as often as it says, and tells when the next may", async () => {
  const { api, machine } = await createScene();
  const rateLimit = { key: "api.example.com", limit: 2, perSeconds: 3, burst: 1 };
  const { jobs } = await submitMany(api, { jobs: Array(2).fill({ ...job, rateLimit }) });
  assert.deepEqual(jobs.map((item) => [item.job.status, item.job.waitingFor ?? null]), [["queued", null], [
    "blocked",
    "rate",
  ]]);
  assert.deepEqual(jobs[0]!.job.rateLimit, rateLimit);
  const { rateLimits: [limit] } = RateLimitList.strict().parse((await api("/jobs/rate-limits")).body);
  assert.deepEqual([limit!.key, limit!.waiting, limit!.burst], ["api.example.com", 1, 1]);
  assert.ok(Date.parse(limit!.nextAt!) > Date.parse(jobs[1]!.job.createdAt));
  const taken = await claimJobs(machine.rpc, 10);
  assert.deepEqual(taken.map(({ job_id }: { job_id: string }) => job_id), [jobs[0]!.job.id]);
  await until(async () => (await claimJobs(machine.rpc, 10)).length === 1, "the second job may start");
  const { startedAt } = await read(api, jobs[1]!.job.id);
  assert.ok(Date.parse(startedAt!) >= Date.parse(limit!.nextAt!), `${startedAt} is not before ${limit!.nextAt}`);
  for (const wrong of [{ ...rateLimit, units: 2 }, { ...rateLimit, limit: 0 }, { key: "a" }]) {
    assertProblem(await api("/jobs", { json: { ...job, rateLimit: wrong } }), "invalid_request");
  }
});

Deno.test("a batch ends with its jobs, takes more while it is open, and is cancelled with them", async () => {
  const { api, machine, end } = await createScene();
  const first = await submitMany(api, { jobs: [job, job], batch: { name: "nightly", notify: true } });
  const batch = first.batch!;
  assert.deepEqual([batch.type, batch.status, batch.waitingFor, batch.payload], [
    "muster.batch",
    "blocked",
    "children",
    { name: "nightly" },
  ]);
  assert.deepEqual(first.jobs.map((item) => item.job.parentId), [batch.id, batch.id]);
  await end(await claimJobs(machine.rpc, 10));
  const ended = await read(api, batch.id);
  assert.deepEqual([ended.status, ended.result], ["succeeded", { succeeded: 2, failed: 0, cancelled: 0 }]);
  assert.deepEqual(ended.batch, { open: false, jobs: 2, waiting: 0, held: 0, succeeded: 2, failed: 0, cancelled: 0 });
  assert.equal(JobList.parse((await api(`/jobs?parentId=${batch.id}`)).body).jobs.length, 2);

  const { batch: open } = await submitMany(api, { jobs: [], batch: { open: true, idempotencyKey: "run-1" } });
  const again = await submitMany(api, { jobs: [], batch: { open: true, idempotencyKey: "run-1" } });
  assert.equal(again.batch!.id, open!.id);
  const child = await api("/jobs", { json: { ...job, parentId: open!.id } });
  assert.equal(child.status, 201, JSON.stringify(child.body));
  const closed = await api(`/jobs/${open!.id}/close`, { method: "POST" });
  assert.deepEqual([closed.status, closed.body.batch.open, closed.body.batch.waiting], [200, false, 1]);
  assertProblem(await api("/jobs", { json: { ...job, parentId: open!.id } }), "conflict", /closed/);
  const cancelled = await api(`/jobs/${open!.id}/cancel`, { method: "POST" });
  assert.deepEqual([cancelled.body.status, (await read(api, child.body.id)).status], ["cancelled", "cancelled"]);
  assertProblem(await api(`/jobs/${child.body.id}/close`, { method: "POST" }), "conflict", /no batch/);
  assertProblem(await api("/jobs", { json: { ...job, parentId: child.body.id } }), "not_found", /no such batch/);
  assertProblem(await api("/jobs", { json: { jobs: [] } }), "invalid_request");
});
