import assert from "node:assert/strict";
import postgres from "postgres";
import { Job, JobList } from "../../shared/contracts/jobs.ts";
import { LimitsDocument } from "../../shared/contracts/tenant-limits.ts";
import { until } from "../support/database.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { api, createApp } from "../support/tenant.ts";

Deno.test("a job that ended longer ago than its tenant keeps jobs is 404, and its key makes a new one", async () => {
  const { tenant, api: app } = await createApp();
  const operator = api(project.secretKey, { "x-tenant-id": tenant.id });
  const submit = async (idempotencyKey: string) => {
    const { body } = await app("/jobs", { json: { type: "a", requires: ["nobody/has"], idempotencyKey } });
    return body.id as string;
  };
  const [old, recent] = [await submit("old"), await submit("recent")];
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    await sql`update muster.jobs set created_at = created_at - interval '10 days' where id = ${old}`;
    await app(`/jobs/${recent}/cancel`, { method: "POST" });
    // As if it had been cancelled when it was new: no call can do that, and what has ended cannot be changed.
    await sql`
      with gone as (delete from muster.jobs where id = ${old} returning *)
      insert into muster.jobs (id, tenant_id, executor_id, type, class_id, status, idempotency_key, run_at, created_at, updated_at, finished_at)
      select id, tenant_id, executor_id, type, class_id, 'cancelled', idempotency_key, run_at, created_at, created_at, created_at from gone`;
  } finally {
    await sql.end();
  }
  assert.equal(Job.parse((await app(`/jobs/${old}`)).body).status, "cancelled");

  for (const retentionDays of [0, 3651, 1.5, "7"]) {
    assertProblem(await operator("/tenants/limits", { json: { retentionDays } }), "invalid_request");
  }
  const { limits } = LimitsDocument.parse((await operator("/tenants/limits", { json: { retentionDays: 7 } })).body);
  assert.equal(limits.retentionDays, 7);
  await until(async () => (await operator(`/jobs/${old}`)).status === 404, "the tick has deleted the job");
  assertProblem(await app(`/jobs/${old}`), "not_found");
  const { jobs } = JobList.parse((await app("/jobs")).body);
  assert.deepEqual(jobs.map(({ id }) => id), [recent]);
  assert.notEqual(await submit("old"), old);
  assert.equal(await submit("recent"), recent);
});
