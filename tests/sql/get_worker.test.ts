import assert from "node:assert/strict";
import { createTenant, createWorker, submit } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("get_worker() shows what a worker can do, what it does and when it was seen", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3, capabilities: ["a"], labels: { os: "linux" } });
  const jobs = await submit(db, tenant, {}, {});
  await db.advance(3);
  await worker.claim(2);
  const shown = await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker.id });
  const { name: _, version: __, ...rest } = shown;
  assert.deepEqual(rest, {
    id: worker.id,
    status: "online",
    mode: "push",
    capabilities: ["a"],
    granted_capabilities: [],
    measured_capabilities: [],
    labels: { os: "linux" },
    resources: {},
    slots: 3,
    held_count: 2,
    held_resources: {},
    listening: false,
    deaf: false,
    ephemeral: false,
    created_at: "2026-01-01T00:00:00.000000Z",
    drain_requested_at: null,
    cordoned_at: null,
    last_seen_at: "2026-01-01T00:00:03.000000Z",
    metrics: {},
    current_jobs: jobs.map((job) => job.id),
  });
});

Deno.test("get_worker() shows no key, no fingerprint and no nonce", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  const shown = await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker.id });
  for (const field of ["public_jwk", "device_fingerprint", "wake_nonce", "enrollment_token_id", "session_id"]) {
    assert.ok(!(field in shown), field);
  }
});
