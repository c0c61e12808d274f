import assert from "node:assert/strict";
import { Health } from "../../shared/contracts/health.ts";
import { enrollDevice } from "../support/device.ts";
import { project } from "../support/project.ts";
import { type Api, api, createApp, createEnrollmentToken } from "../support/tenant.ts";

Deno.test("GET /health tells anybody how every part is, and how much there is to do only those whose it is", async () => {
  const { tenant, api: app } = await createApp();
  const { body: job } = await app("/jobs", { json: { type: "a", requires: ["nobody/has"] } });
  assert.equal(job.status, "queued");
  const { enrolled } = await enrollDevice((await createEnrollmentToken(tenant.id)).enrollmentToken);

  for (const key of [null, project.publishableKey, "msk_short", "nonsense", enrolled.accessToken]) {
    const health = await healthFor(api(key));
    assert.equal(health.checks.database.status, "ok");
    assert.equal(health.checks.storage.status, "ok");
    assert.equal(health.checks.realtime.status, "ok");
    assert.equal(health.load, null);
  }
  const ours = { onlineWorkers: 0, queuedJobs: 1 };
  assert.deepEqual((await healthFor(app)).load, ours);
  assert.deepEqual((await healthFor(api(project.secretKey, { "x-tenant-id": tenant.id }))).load, ours);
  const all = (await healthFor(api(project.secretKey))).load;
  assert.ok(all !== null && all.queuedJobs >= 1, JSON.stringify(all));
  assert.equal((await healthFor(api(project.secretKey, { "x-tenant-id": crypto.randomUUID() }))).load, null);
});

async function healthFor(caller: Api): Promise<Health> {
  const { status, body } = await caller("/health");
  assert.equal(status, 200);
  return Health.strict().parse(body);
}
