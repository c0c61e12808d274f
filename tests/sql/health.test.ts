import assert from "node:assert/strict";
import { createTenant, createWorker, submit, tick } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("health() tells the age of the last tick, who is online and what waits, over all tenants", async () => {
  await using db = await TestDatabase.create();
  for (let n = 0; n < 2; n++) {
    const tenant = await createTenant(db);
    const [worker, draining] = [await createWorker(db, tenant), await createWorker(db, tenant)];
    await createWorker(db, tenant, { online: false });
    await submit(db, tenant, {}, {}, {});
    await worker.claim();
    await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: draining.id });
  }
  await tick(db);
  await db.advance(2.5);
  assert.deepEqual(await db.call(service, "health"), {
    database: "ok",
    last_tick_at: "2026-01-01T00:00:00.000000Z",
    tick_age_seconds: 2.5,
    online_workers: 4,
    queued_jobs: 4,
    realtime: { partition_today: true },
  });
});

Deno.test("health() answers before the first tick too", async () => {
  await using db = await TestDatabase.create();
  await db.sql`update muster_private.scheduler_state set last_tick_at = '-infinity'`;
  const { last_tick_at, tick_age_seconds } = await db.call(service, "health");
  assert.deepEqual([last_tick_at, tick_age_seconds], [null, null]);
});
