import assert from "node:assert/strict";
import { auditEntries, createTenant, getJob, refused, type TestTenant } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { createSchedule, getSchedule, tickAt } from "../support/schedules.ts";

function change(db: TestDatabase, tenant: TestTenant, id: string, changes: Args): Promise<Answer> {
  return db.call(service, "change_schedule", { caller: tenant.caller, schedule_id: id, changes });
}

Deno.test("change_schedule() changes what is named, and reckons the next run anew where that depends on it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { id, ...made } = await createSchedule(db, tenant, { starts_at: "2026-02-01T00:00:00Z" });
  await db.advance(60);
  const renamed = await change(db, tenant, id, { name: "other", job: { type: "b" }, overlap: "skip" });
  assert.deepEqual([renamed.name, renamed.job, renamed.overlap], ["other", { type: "b" }, "skip"]);
  assert.equal(renamed.next_run_at, made.next_run_at);
  assert.notEqual(renamed.updated_at, made.updated_at);
  const moved = await change(db, tenant, id, { cron: "30 * * * *", starts_at: null });
  assert.deepEqual([moved.starts_at, moved.next_run_at], [null, "2026-01-01T00:30:00.000000Z"]);
  const last = (await auditEntries(db, tenant, "schedule.")).at(-1)!;
  assert.deepEqual([last.action, last.data.changed.sort()], ["schedule.changed", ["cron", "starts_at"]]);
});

Deno.test("change_schedule() refuses what create_schedule() would, and what nobody may change", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const made = await createSchedule(db, tenant, { overlap: "skip" });
  await createSchedule(db, tenant, { name: "taken" });
  const bad: Args[] = [
    { cron: "* * *" },
    { cron: "0 0 31 2 *" },
    { name: null },
    { job: { type: "a", run_at: "2030-01-01T00:00:00Z" } },
    { catch_up: "all" },
    { executor_id: null },
    { next_run_at: "2026-01-01T00:00:00Z" },
    { paused_at: null },
  ];
  for (const changes of bad) await refused(change(db, tenant, made.id, changes), "MU004", JSON.stringify(changes));
  await refused(change(db, tenant, made.id, { name: "taken" }), "MU008");
  const { next_runs: _, ...shown } = await getSchedule(db, tenant, made.id);
  assert.deepEqual(shown, made);
});

Deno.test("a paused schedule does not run, and makes up for nothing when it is resumed", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { id } = await createSchedule(db, tenant, { catch_up: "all" });
  const by = { caller: tenant.caller, schedule_id: id };
  const paused = await db.call(service, "pause_schedule", by);
  assert.deepEqual([paused.paused_at, paused.next_run_at], ["2026-01-01T00:00:00.000000Z", null]);
  assert.deepEqual(await db.call(service, "pause_schedule", by), paused);
  assert.equal((await change(db, tenant, id, { cron: "30 * * * *" })).next_run_at, null);
  assert.deepEqual((await getSchedule(db, tenant, id)).next_runs, []);
  await tickAt(db, "2026-01-01T05:00:00Z");
  assert.equal((await db.sql`select from muster.jobs`).length, 0);
  const resumed = await db.call(service, "resume_schedule", by);
  assert.deepEqual([resumed.paused_at, resumed.next_run_at], [null, "2026-01-01T05:30:00.000000Z"]);
  assert.deepEqual(await db.call(service, "resume_schedule", by), resumed);
  const actions = (await auditEntries(db, tenant, "schedule.")).map(({ action }) => action);
  assert.deepEqual(actions, ["schedule.created", "schedule.paused", "schedule.changed", "schedule.resumed"]);
});

Deno.test("delete_schedule() forgets a schedule, and its jobs stay", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { id, name } = await createSchedule(db, tenant);
  await tickAt(db, "2026-01-01T01:00:00Z");
  const { last_job_id } = await getSchedule(db, tenant, id);
  const gone = await db.call(service, "delete_schedule", { caller: tenant.caller, schedule_id: id });
  assert.deepEqual([gone.id, gone.last_job_id], [id, last_job_id]);
  await refused(getSchedule(db, tenant, id), "MU003");
  assert.equal((await getJob(db, tenant, last_job_id)).status, "queued");
  await createSchedule(db, tenant, { name });
});

Deno.test("run_schedule() submits the job now, pause or not, and once for a key", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const made = await createSchedule(db, tenant, { job: { type: "backup", payload: { a: 1 } }, overlap: "skip" });
  const run = (args: Args = {}) =>
    db.call(service, "run_schedule", { caller: tenant.caller, schedule_id: made.id, ...args });
  await db.call(service, "pause_schedule", { caller: tenant.caller, schedule_id: made.id });
  const first = await run({ idempotency_key: "once" });
  assert.deepEqual([first.created, first.job.type, first.job.payload, first.job.correlation_id], [
    true,
    "backup",
    { a: 1 },
    `schedule:${made.id}`,
  ]);
  assert.equal(first.job.executor_id, tenant.executorId);
  const again = await run({ idempotency_key: "once" });
  assert.deepEqual([again.created, again.job.id], [false, first.job.id]);
  // The overlap is for runs by time.
  const second = await run({ correlation_id: "order-7" });
  assert.deepEqual([second.created, second.job.correlation_id], [true, "order-7"]);
  const shown = await getSchedule(db, tenant, made.id);
  assert.deepEqual([shown.last_job_id, shown.run_count, shown.last_run_at], [second.job.id, 2, null]);
});

Deno.test("list_schedules() pages through a tenant's schedules, newest first, without payloads", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  await createSchedule(db, other);
  for (const name of ["a", "b", "c"]) {
    await db.advance(1);
    await createSchedule(db, tenant, { name, job: { type: "t", payload: { secret: 1 } } });
  }
  const list = (args: Args = {}) => db.call(service, "list_schedules", { caller: tenant.caller, ...args });
  const first = await list({ page_size: 2 });
  assert.deepEqual(first.schedules.map(({ name, job }: Answer) => [name, job]), [["c", { type: "t" }], [
    "b",
    { type: "t" },
  ]]);
  const second = await list({ page_size: 2, cursor: first.next_cursor });
  assert.deepEqual([second.schedules.map(({ name }: Answer) => name), second.next_cursor], [["a"], null]);
  assert.deepEqual((await list({ name: "b" })).schedules.map(({ name }: Answer) => name), ["b"]);
  assert.deepEqual((await list({ name: "none" })).schedules, []);
  await refused(list({ cursor: "x" }), "MU004");
});

Deno.test("preview_schedule() shows runs of an expression that no schedule has", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const preview = (args: Args) => db.call(service, "preview_schedule", { caller: tenant.caller, ...args });
  const { runs } = await preview({ cron: "0 12 * * *", time_zone: "America/New_York", count: 2 });
  assert.deepEqual(runs, ["2026-01-01T17:00:00.000000Z", "2026-01-02T17:00:00.000000Z"]);
  assert.equal((await preview({ cron: "@yearly", count: 100, after: "2030-05-05T00:00:00Z" })).runs.length, 100);
  assert.deepEqual((await preview({ cron: "0 0 31 2 *" })).runs, []);
  assert.equal((await preview({ cron: "@daily" })).runs.length, 5);
  await refused(preview({ cron: "@daily", count: 101 }), "MU004");
  await refused(preview({ cron: "@daily", count: 0 }), "MU004");
  await refused(preview({ cron: "@daily", time_zone: "Mars/Base" }), "MU004");
  await refused(preview({ cron: "@daily", after: "infinity" }), "MU004");
  await refused(preview({ cron: "x" }), "MU004");
});
