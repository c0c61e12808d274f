import assert from "node:assert/strict";
import { createTenant, createWorker, failed, getJob, submit, succeeded } from "../support/actors.ts";
import { TestDatabase } from "../support/database.ts";

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
