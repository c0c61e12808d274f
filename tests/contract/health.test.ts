import assert from "node:assert/strict";
import { Health } from "../../shared/contracts/health.ts";
import { api } from "../support/tenant.ts";

Deno.test("GET /health tells how every part is, to anybody", async () => {
  const { status, body } = await api(null)("/health");
  assert.equal(status, 200);
  const health = Health.strict().parse(body);
  assert.equal(health.checks.database.status, "ok");
  assert.equal(health.checks.storage.status, "ok");
  assert.equal(health.checks.realtime.status, "ok");
  assert.ok(health.queuedJobs !== null && health.onlineWorkers !== null);
});
