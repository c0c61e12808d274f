import assert from "node:assert/strict";
import { Job, JobEventList, JobList, SubmitJobsAnswer, WaitedJob } from "../../shared/contracts/jobs.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { createApp, createEnrollmentToken } from "../support/tenant.ts";

Deno.test("POST /jobs stores one job and answers it", async () => {
  const { api, tenant, key } = await createApp();
  const answer = await api("/jobs", {
    json: {
      type: "calc.add",
      payload: { a: 2, b: 3, snake_key: { camelKey: "ü 😀" } },
      requires: ["compute/basic"],
      labels: { site: "lab" },
      priority: 5,
      runAt: "2030-01-01T00:00:00+02:00",
      maxAttempts: 2,
      attemptTimeoutSeconds: 60,
      timeoutSeconds: 3600,
      concurrencyKey: "one at a time",
      concurrencyLimit: 2,
      correlationId: "order 7",
      notify: true,
      retryBaseSeconds: 0.5,
      retryCapSeconds: 10,
    },
  });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const job = Job.strict().parse(answer.body);
  assert.equal(job.tenantId, tenant.id);
  assert.equal(job.executorId, key.executorId);
  assert.equal(job.status, "scheduled");
  assert.deepEqual(job.payload, { a: 2, b: 3, snake_key: { camelKey: "ü 😀" } });
  assert.deepEqual([job.requires, job.labels, job.priority], [["compute/basic"], { site: "lab" }, 5]);
  assert.equal(Date.parse(job.runAt!), Date.parse("2029-12-31T22:00:00Z"));
  assert.deepEqual([job.maxAttempts, job.attemptTimeoutSeconds, job.notify], [2, 60, true]);
  assert.deepEqual([job.concurrencyKey, job.correlationId], ["one at a time", "order 7"]);
  const read = await api(`/jobs/${job.id}`);
  assert.equal(read.status, 200);
  assert.deepEqual(read.body, answer.body);
});

Deno.test("POST /jobs takes up to 1,000 jobs and answers them in their order", async () => {
  const { api } = await createApp();
  const jobs = Array.from(
    { length: 1000 },
    (_, n) => ({ type: "calc.add", payload: { n }, requires: ["nobody/has-it"] }),
  );
  const answer = await api("/jobs", { json: { jobs } });
  assert.equal(answer.status, 201, JSON.stringify(answer.body).slice(0, 500));
  const stored = SubmitJobsAnswer.strict().parse(answer.body);
  assert.deepEqual(stored.jobs.map(({ job }) => (job.payload as { n: number }).n), jobs.map((_, n) => n));
  assert.ok(stored.jobs.every(({ created }) => created));
});

Deno.test("POST /jobs with a known idempotency key answers the job there is", async () => {
  const { api } = await createApp();
  const headers = { "idempotency-key": "order-1" };
  const first = await api("/jobs", { json: { type: "a", payload: 1 }, headers });
  const second = await api("/jobs", { json: { type: "a", payload: 2 }, headers });
  assert.deepEqual([first.status, second.status], [201, 200]);
  assert.equal(second.body.id, first.body.id);
  assert.equal(second.body.payload, 1);
  const batch = await api("/jobs", {
    json: { jobs: [{ type: "a", idempotencyKey: "order-1" }, { type: "a", idempotencyKey: "order-2" }] },
  });
  assert.equal(batch.status, 201);
  assert.deepEqual(batch.body.jobs.map((item: { created: boolean }) => item.created), [false, true]);
  assert.equal(batch.body.jobs[0].job.id, first.body.id);
  assertProblem(await api("/jobs", { json: { jobs: [{ type: "a" }] }, headers }), "invalid_request", /Idempotency-Key/);
  assertProblem(
    await api("/jobs", { json: { type: "a", idempotencyKey: "other" }, headers }),
    "invalid_request",
    /must not differ/,
  );
});

Deno.test("GET /jobs lists newest first, page by page, and filters", async () => {
  const { api } = await createApp();
  const { body: first } = await api("/jobs", { json: { type: "a", payload: { big: "x" }, correlationId: "c-1" } });
  const { body: second } = await api("/jobs", {
    json: { type: "b", runAt: "2030-01-01T00:00:00Z", idempotencyKey: "k" },
  });
  const { body: third } = await api("/jobs", { json: { type: "a" } });

  const ids: string[] = [];
  for (let cursor: string | null = "", pages = 0; cursor !== null; pages++) {
    assert.ok(pages < 10, "the list ends");
    const answer = await api(`/jobs?limit=2${cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`}`);
    assert.equal(answer.status, 200, JSON.stringify(answer.body));
    const page = JobList.strict().parse(answer.body);
    assert.ok(page.jobs.length <= 2);
    assert.ok(page.jobs.every((job) => !("payload" in job) && !("result" in job)));
    ids.push(...page.jobs.map(({ id }) => id));
    cursor = page.nextCursor;
  }
  assert.deepEqual(ids, [third.id, second.id, first.id]);

  const filters: [string, string[]][] = [
    ["status=scheduled", [second.id]],
    ["status=queued,scheduled", [third.id, second.id, first.id]],
    ["status=running", []],
    ["type=a", [third.id, first.id]],
    ["correlationId=c-1", [first.id]],
    ["idempotencyKey=k", [second.id]],
    [`workerId=${crypto.randomUUID()}`, []],
    [`createdAfter=${encodeURIComponent(second.createdAt)}`, [third.id]],
    [`createdBefore=${encodeURIComponent(second.createdAt)}`, [first.id]],
  ];
  for (const [query, expected] of filters) {
    const answer = await api(`/jobs?${query}`);
    assert.equal(answer.status, 200, `${query}: ${JSON.stringify(answer.body)}`);
    assert.deepEqual(answer.body.jobs.map(({ id }: { id: string }) => id), expected, query);
  }
  for (const query of ["status=done", "limit=0", "limit=201", "limit=x", "cursor=x", "createdAfter=today", "what=1"]) {
    assertProblem(await api(`/jobs?${query}`), "invalid_request");
  }
});

Deno.test("POST /jobs/:id/cancel ends a job, and answers an ended one as it is", async () => {
  const { api } = await createApp();
  const { body: job } = await api("/jobs", { json: { type: "a" } });
  const cancelled = await api(`/jobs/${job.id}/cancel`, { json: { reason: "not needed" } });
  assert.equal(cancelled.status, 200, JSON.stringify(cancelled.body));
  assert.equal(Job.strict().parse(cancelled.body).status, "cancelled");
  assert.match(JSON.stringify(cancelled.body.error), /not needed/);
  const again = await api(`/jobs/${job.id}/cancel`, { method: "POST" });
  assert.equal(again.status, 200);
  assert.deepEqual(again.body, cancelled.body);
  assertProblem(await api(`/jobs/${job.id}/cancel`, { json: { why: "x" } }), "invalid_request", /why/);
});

Deno.test("POST /jobs/:id/retry submits an ended job anew, and no other", async () => {
  const { api } = await createApp();
  const { body: job } = await api("/jobs", { json: { type: "a", payload: { n: 1 } } });
  assertProblem(await api(`/jobs/${job.id}/retry`, { method: "POST" }), "conflict");
  await api(`/jobs/${job.id}/cancel`, { method: "POST" });
  const retried = await api(`/jobs/${job.id}/retry`, { method: "POST" });
  assert.equal(retried.status, 201, JSON.stringify(retried.body));
  const fresh = Job.strict().parse(retried.body);
  assert.deepEqual([fresh.status, fresh.retryOf, fresh.payload], ["queued", job.id, { n: 1 }]);
  assert.equal((await api(`/jobs/${job.id}`)).body.status, "cancelled");
});

Deno.test("a job's way can be followed by its events, and waited for", async () => {
  const { api, tenant } = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { rpc, enrolled } = await enrollDevice(enrollmentToken, { name: "unit-1" });
  await rpc("hello", { worker: { capabilities: ["compute/basic"], slots: 1, listening: false }, running: [] });
  const { body: job } = await api("/jobs", {
    json: { type: "calc.add", requires: ["compute/basic"], payload: { a: 1 } },
  });

  const early = await api(`/jobs/${job.id}/wait?timeoutSeconds=0`);
  assert.equal(early.status, 200);
  assert.equal(WaitedJob.strict().parse(early.body).ended, false);

  const waiting = api(`/jobs/${job.id}/wait?timeoutSeconds=20`);
  const [claimed] = await claimJobs(rpc);
  assert.deepEqual([claimed.job_id, claimed.attempt], [job.id, 1]);
  await rpc("report_events", {
    events: [
      { job_id: job.id, attempt: 1, number: 1, kind: "progress", data: { fraction: 0.5, note: "half" } },
      { job_id: job.id, attempt: 1, number: 2, kind: "log", data: { level: "info", message: "hello" } },
    ],
  });
  const running = Job.strict().parse((await api(`/jobs/${job.id}`)).body);
  assert.deepEqual([running.status, running.progress, running.progressNote], ["running", 0.5, "half"]);
  assert.deepEqual([running.workerId, running.workerName, running.attempts], [enrolled.workerId, "unit-1", 1]);
  await rpc("complete_jobs", { results: [{ job_id: job.id, attempt: 1, status: "succeeded", result: { sum_of: 3 } }] });

  const { status, body } = await waiting;
  assert.equal(status, 200);
  const ended = WaitedJob.strict().parse(body);
  assert.deepEqual([ended.ended, ended.status, ended.result], [true, "succeeded", { sum_of: 3 }]);

  const events = JobEventList.strict().parse((await api(`/jobs/${job.id}/events`)).body);
  assert.deepEqual(events.events.map(({ kind }) => kind).filter((kind) => kind !== "status"), ["progress", "log"]);
  assert.equal(events.events.at(-1)?.kind, "status");
  assert.equal(events.lastSequence, events.events.at(-1)?.sequence);
  const rest = await api(`/jobs/${job.id}/events?after=${events.events[0]!.sequence}&limit=1`);
  assert.deepEqual(rest.body.events, [events.events[1]]);
});

Deno.test("a job of another tenant does not exist", async () => {
  const [mine, theirs] = [await createApp(), await createApp()];
  const { body: job } = await theirs.api("/jobs", { json: { type: "a", idempotencyKey: "same" } });
  for (const id of [job.id, crypto.randomUUID()]) {
    assertProblem(await mine.api(`/jobs/${id}`), "not_found");
    assertProblem(await mine.api(`/jobs/${id}/cancel`, { method: "POST" }), "not_found");
    assertProblem(await mine.api(`/jobs/${id}/retry`, { method: "POST" }), "not_found");
    assertProblem(await mine.api(`/jobs/${id}/events`), "not_found");
    assertProblem(await mine.api(`/jobs/${id}/wait`), "not_found");
  }
  assert.equal((await theirs.api(`/jobs/${job.id}`)).body.status, "queued");
  assert.deepEqual((await mine.api("/jobs")).body.jobs, []);
  assert.equal((await mine.api("/jobs", { json: { type: "a", idempotencyKey: "same" } })).status, 201);
});
