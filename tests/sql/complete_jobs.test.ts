import assert from "node:assert/strict";
import { createTenant, createWorker, eachRefused, failed, getJob, submit, succeeded } from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("complete_jobs() stores a result and answers with the next job", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [first, second] = await submit(db, tenant, { payload: { n: 1 } }, { payload: { n: 2 } });

  const [claimed] = await worker.claim();
  assert.equal(claimed!.job_id, first.id);
  const answer = await worker.complete([succeeded(claimed!, { sum: 5 })], 1);

  assert.deepEqual(answer.outcomes, [{ job_id: first.id, attempt: 1, outcome: "accepted" }]);
  assert.deepEqual(answer.jobs.map((job: { job_id: string }) => job.job_id), [second.id]);
  const job = await getJob(db, tenant, first.id);
  assert.equal(job.status, "succeeded");
  assert.deepEqual(job.result, { sum: 5 });
});

Deno.test("complete_jobs() answers stale for an attempt that was replaced", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [slow, quick] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  const [job] = await submit(db, tenant, {});
  const [lost] = await slow.claim();
  await db.advance(16);
  assert.equal((await db.call({ role: "service_role" }, "tick")).lost_workers, 1);
  const [taken] = await quick.claim();
  assert.deepEqual([taken!.job_id, taken!.attempt], [job.id, 2]);

  const late = await slow.complete([succeeded(lost!, "late")]);
  assert.equal(late.outcomes[0].outcome, "stale");
  const answer = await quick.complete([succeeded(taken!, "in time")]);
  assert.equal(answer.outcomes[0].outcome, "accepted");
  assert.equal((await getJob(db, tenant, job.id)).result, "in time");
});

Deno.test("complete_jobs() keeps a refused result as evidence, once, and only of an attempt the worker has held", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [slow, quick, liar] = [
    await createWorker(db, tenant),
    await createWorker(db, tenant),
    await createWorker(db, tenant),
  ];
  const [job] = await submit(db, tenant, {});
  const [lost] = await slow.claim();
  await db.advance(16);
  await db.call(service, "tick");
  await quick.hello();
  const [taken] = await quick.claim();

  for (const result of ["late", "later"]) await slow.complete([succeeded(lost!, result)]);
  await liar.complete([succeeded(lost!, "made up"), succeeded(taken!, "stolen"), succeeded({ ...lost!, attempt: 7 })]);
  await slow.complete([succeeded(taken!, "not mine")]);

  const { late_results, status, attempts } = await getJob(db, tenant, job.id);
  assert.deepEqual([status, attempts], ["running", 2]);
  assert.deepEqual(late_results, [{
    attempt: 1,
    worker_id: slow.id,
    status: "succeeded",
    result: "late",
    error: null,
    received_at: "2026-01-01T00:00:16.000000Z",
  }]);
  assert.deepEqual((await quick.complete([succeeded(taken!)])).outcomes[0].outcome, "accepted");
});

Deno.test("complete_jobs() keeps what a worker finished after the job was cancelled, and cancelled it stays", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  await worker.complete([failed(held!, { message: "too late" })]);
  const { status, result, late_results: [late] } = await getJob(db, tenant, job.id);
  assert.deepEqual([status, result, late.status, late.error.message], ["cancelled", null, "failed", "too late"]);
});

Deno.test("complete_jobs() schedules a failed job for a later try until its attempts are spent", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { max_attempts: 2, retry_base_seconds: 4 });

  const [first] = await worker.claim();
  assert.equal((await worker.complete([failed(first!)])).outcomes[0].outcome, "retrying");
  const waiting = await getJob(db, tenant, job.id);
  assert.equal(waiting.status, "scheduled");
  const delay = (Date.parse(waiting.run_at) - (await db.now()).getTime()) / 1000;
  assert.ok(delay >= 2 && delay <= 4, `first delay ${delay} s is half to all of the base`);
  assert.deepEqual(await worker.claim(), []);

  await db.advance(5);
  await db.call({ role: "service_role" }, "tick");
  const [second] = await worker.claim();
  assert.equal(second!.attempt, 2);
  assert.equal((await worker.complete([failed(second!)])).outcomes[0].outcome, "accepted");
  assert.equal((await getJob(db, tenant, job.id)).status, "failed");
});

Deno.test("complete_jobs() lets a stale attempt in a batch not spoil the others", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  await submit(db, tenant, {}, {}, {});
  const [a, b, c] = await worker.claim(3);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [b!.job_id] });

  const unknown = { job_id: crypto.randomUUID(), attempt: 1 };
  const answer = await worker.complete([
    succeeded(a!),
    succeeded(b!),
    succeeded(unknown),
    failed(c!, { retryable: false }),
  ]);

  assert.deepEqual(outcomes(answer), ["accepted", "stale", "stale", "accepted"]);
  assert.equal((await getJob(db, tenant, b!.job_id)).status, "cancelled");
});

Deno.test("complete_jobs() accepts a repeated report whose first answer was lost, and changes nothing by it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, {}, {});
  const [a, b] = await worker.claim(2);
  const report = [succeeded(a!, 1), failed(b!, { retryable: false })];
  await worker.complete(report);
  const before = [await getJob(db, tenant, a!.job_id), await getJob(db, tenant, b!.job_id)];
  await db.advance(1);
  assert.deepEqual(outcomes(await worker.complete(report)), ["accepted", "accepted"]);
  assert.deepEqual([await getJob(db, tenant, a!.job_id), await getJob(db, tenant, b!.job_id)], before);
});

Deno.test("complete_jobs() counts the live attempt when a dead one of the same job is in the batch", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [job] = await submit(db, tenant, {});
  const [dead] = await worker.claim();
  await worker.hello({ slots: 2 });
  const [live] = await worker.claim();
  assert.equal(live!.attempt, 2);
  const answer = await worker.complete([succeeded(dead!, "dead"), succeeded(live!, "live")]);
  assert.deepEqual(outcomes(answer), ["stale", "accepted"]);
  assert.equal((await getJob(db, tenant, job.id)).result, "live");
});

Deno.test("complete_jobs() does not take another worker's attempt, nor another tenant's", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const [owner, peer] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  const outsider = await createWorker(db, other);
  const [job] = await submit(db, tenant, {});
  const [held] = await owner.claim();
  for (const thief of [peer, outsider]) {
    assert.deepEqual(outcomes(await thief.complete([succeeded(held!, "stolen")])), ["stale"]);
  }
  assert.equal((await getJob(db, tenant, job.id)).status, "running");
});

Deno.test("complete_jobs() ends a job whose error is not retryable at once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const answer = await worker.complete([failed(held!, { code: "bad_input", message: "No", retryable: false })]);
  assert.deepEqual(outcomes(answer), ["accepted"]);
  const ended = await getJob(db, tenant, job.id);
  assert.equal(ended.status, "failed");
  assert.deepEqual([ended.error.code, ended.error.message], ["bad_input", "No"]);
});

Deno.test("complete_jobs() fails a job for good when its result is over the limit", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  await worker.complete([succeeded(held!, "x".repeat(600_000))]);
  const ended = await getJob(db, tenant, job.id);
  assert.deepEqual([ended.status, ended.error.code, ended.result], ["failed", "result_too_large", null]);
  assert.match(ended.error.message, /artifact/);
});

Deno.test("complete_jobs() stores a result of exactly 256 KiB as compact JSON", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const result = Array.from({ length: 131_071 }, () => 1);
  assert.equal(JSON.stringify(result).length, 262_143);
  await worker.complete([succeeded(held!, result)]);
  assert.equal((await getJob(db, tenant, job.id)).status, "succeeded");
});

Deno.test("complete_jobs() fails a job rather than store an error over the limit", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { max_attempts: 1 });
  const [held] = await worker.claim();
  await worker.complete([failed(held!, { message: "x".repeat(100_000) })]);
  const ended = await getJob(db, tenant, job.id);
  assert.equal(ended.status, "failed");
  assert.ok(JSON.stringify(ended.error).length < 70_000);
});

Deno.test("complete_jobs() hands over no more than the slots leave free", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, {}, {}, {}, {});
  const [a] = await worker.claim(2);
  const answer = await worker.complete([succeeded(a!)], 100);
  assert.equal(answer.jobs.length, 1);
});

Deno.test("complete_jobs() of a draining worker hands over nothing new", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, {}, {});
  const [held] = await worker.claim();
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  const answer = await worker.complete([succeeded(held!)], 1);
  assert.deepEqual([outcomes(answer), answer.jobs], [["accepted"], []]);
});

Deno.test("complete_jobs() lets the next job of a concurrency key in", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [first, second] = await submit(db, tenant, { concurrency_key: "k" }, { concurrency_key: "k" });
  assert.deepEqual([first.status, second.status], ["queued", "blocked"]);
  const [held, none] = await worker.claim(2);
  assert.deepEqual([held!.job_id, none], [first.id, undefined]);
  const answer = await worker.complete([succeeded(held!)], 1);
  assert.deepEqual(answer.jobs.map((job: Answer) => job.job_id), [second.id]);
});

Deno.test("complete_jobs() takes a result of null, false and 0 as it is", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  await submit(db, tenant, {}, {}, {});
  const held = await worker.claim(3);
  const values = [null, false, 0];
  await worker.complete(held.map((job, index) => succeeded(job, values[index])));
  for (const [index, job] of held.entries()) {
    const ended = await getJob(db, tenant, job.job_id);
    assert.deepEqual([ended.status, ended.result], ["succeeded", values[index]]);
  }
});

Deno.test("complete_jobs() refuses misuse and leaves the attempts as they were", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const ok = succeeded(held!);
  const bad: Record<string, unknown> = {
    "null": null,
    "an object": {},
    "a string": "x",
    "1001 results": Array.from({ length: 1001 }, () => ok),
    "an id that is no UUID": [{ ...ok, job_id: "nonsense" }],
    "an attempt that is no number": [{ ...ok, attempt: "two" }],
    "an attempt over all bounds": [{ ...ok, attempt: 1e12 }],
    "a status of its own": [{ ...ok, status: "done" }],
    "no status": [{ job_id: ok.job_id, attempt: ok.attempt }],
    "a status in an array": [{ ...ok, status: ["succeeded"] }],
    "an array among the results": [ok, [ok]],
    "an empty array among the results": [ok, []],
    "null among the results": [ok, null],
    "an error that is a text": [{ ...failed(held!), error: "x" }],
    "an error that is an array": [{ ...failed(held!), error: [] }],
    "a text with NUL": [{ ...ok, result: "\u0000" }],
    "retryable that is no boolean": [{ ...failed(held!), error: { message: "x", retryable: "perhaps" } }],
  };
  await eachRefused(bad, (results) => db.call(worker.actor, "complete_jobs", { results }));
  assert.equal((await getJob(db, tenant, job.id)).status, "running");
  assert.deepEqual(outcomes(await worker.complete([ok])), ["accepted"]);
});

Deno.test("complete_jobs() takes a negative or huge want for what it can mean", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, {}, {}, {});
  assert.deepEqual((await worker.complete([], -5)).jobs, []);
  assert.equal((await worker.complete([], 2_000_000_000)).jobs.length, 2);
});

function outcomes(answer: Answer): string[] {
  return answer.outcomes.map((each: Answer) => each.outcome);
}
