import assert from "node:assert/strict";
import { tick } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("health() tells the age of the last tick and whether Realtime can store messages, and nothing of the tenants", async () => {
  await using db = await TestDatabase.create();
  await tick(db);
  await db.advance(2.5);
  assert.deepEqual(await db.call(service, "health"), { tick_age_seconds: 2.5, realtime: { partition_today: true } });
});

Deno.test("health() answers before the first tick too", async () => {
  await using db = await TestDatabase.create();
  await db.sql`update muster_private.scheduler_state set last_tick_at = '-infinity'`;
  assert.equal((await db.call(service, "health")).tick_age_seconds, null);
});
