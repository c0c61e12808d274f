import assert from "node:assert/strict";
import { auditEntries, createMember, createTenant, refused } from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";
import { createSchedule, getSchedule } from "../support/schedules.ts";

Deno.test("create_schedule() stores a schedule that runs from now on", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const made = await createSchedule(db, tenant, {
    name: "nightly",
    cron: " 30 2 * * mon-fri ",
    time_zone: "Europe/Berlin",
    job: { type: "backup", payload: { Deep_Key: 1 }, requires: ["compute/basic"] },
  });
  assert.deepEqual([made.cron, made.overlap, made.catch_up, made.jitter_seconds], [
    "30 2 * * mon-fri",
    "allow",
    "last",
    0,
  ]);
  assert.equal(made.next_run_at, "2026-01-01T01:30:00.000000Z");
  assert.deepEqual([made.executor_id, made.created_by.kind], [tenant.executorId, "api_key"]);
  assert.deepEqual(made.job.payload, { Deep_Key: 1 });
  const { next_runs, ...shown } = await getSchedule(db, tenant, made.id);
  assert.deepEqual(shown, made);
  assert.deepEqual(
    next_runs,
    ["01-01", "01-02", "01-05", "01-06", "01-07"].map((day) => `2026-${day}T01:30:00.000000Z`),
  );
  const [entry] = await auditEntries(db, tenant, "schedule.");
  assert.deepEqual([entry!.action, entry!.subject, entry!.data], ["schedule.created", made.id, {
    name: "nightly",
    cron: "30 2 * * mon-fri",
    type: "backup",
  }]);
});

Deno.test("create_schedule() keeps to the time between start and end", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const made = await createSchedule(db, tenant, { starts_at: "2026-03-01T05:00:00Z", ends_at: "2026-03-01T06:30:00Z" });
  // A run at the very start counts.
  assert.deepEqual((await getSchedule(db, tenant, made.id)).next_runs, [
    "2026-03-01T05:00:00.000000Z",
    "2026-03-01T06:00:00.000000Z",
  ]);
});

Deno.test("create_schedule() refuses what could not run, and stores nothing", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const bad: Record<string, Args> = {
    "no name": { name: null },
    "an empty name": { name: "" },
    "a long name": { name: "x".repeat(101) },
    "no cron expression": { cron: null },
    "a wrong cron expression": { cron: "61 * * * *" },
    "a day that never comes": { cron: "0 0 31 2 *" },
    "an end before the first run": { ends_at: "2026-01-01T00:30:00Z" },
    "an end before the start": { starts_at: "2027-01-01T00:00:00Z", ends_at: "2026-06-01T00:00:00Z" },
    "an endless start": { starts_at: "infinity" },
    "an unknown time zone": { time_zone: "Europe/Nowhere" },
    "a time zone that is none": { time_zone: "Foo/Bar5" },
    "a time zone in other letters": { time_zone: "europe/berlin" },
    "a path": { time_zone: "../../etc/passwd" },
    "no time zone": { time_zone: null },
    "an unknown overlap": { overlap: "maybe" },
    "no overlap": { overlap: null },
    "an unknown catch-up": { catch_up: "some" },
    "all missed runs without overlap": { catch_up: "all", overlap: "skip" },
    "too much jitter": { jitter_seconds: 3601 },
    "negative jitter": { jitter_seconds: -1 },
    "no job": { job: null },
    "a job that is a list": { job: [] },
    "a job without a type": { job: {} },
    "a job with a time": { job: { type: "a", run_at: "2026-01-01T00:00:00Z" } },
    "a job with a key": { job: { type: "a", idempotency_key: "a" } },
    "a job with a parent": { job: { type: "a", parent_id: crypto.randomUUID() } },
    "a job of priority 101": { job: { type: "a", priority: 101 } },
  };
  for (const [what, schedule] of Object.entries(bad)) {
    await refused(createSchedule(db, tenant, schedule), "MU004", what);
  }
  await refused(createSchedule(db, tenant, { job: { type: "a", inputs: [crypto.randomUUID()] } }), "MU003", "an input");
  await refused(createSchedule(db, tenant, { job: { type: "a", secrets: ["NONE"] } }), "MU021", "a secret");
  for (const schedule of [null, [], "x", 1]) {
    await refused(db.call(service, "create_schedule", { caller: tenant.caller, schedule }), "MU004", `${schedule}`);
  }
  assert.equal((await db.sql`select from muster.schedules`).length, 0);
});

Deno.test("create_schedule() keeps names apart, tenant by tenant", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  await createSchedule(db, tenant, { name: "nightly" });
  await refused(createSchedule(db, tenant, { name: "nightly" }), "MU008");
  await createSchedule(db, other, { name: "nightly" });
});

Deno.test("of two that take the same name at once, one is refused", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = { name: "nightly", cron: "@daily", job: { type: "a" } };
  await using first = await db.transaction();
  await first.call(service, "create_schedule", { caller: { kind: "service", tenant_id: tenant.id }, schedule });
  await using second = await db.transaction();
  const late = second.call(service, "create_schedule", { caller: { kind: "service", tenant_id: tenant.id }, schedule });
  const outcome = refused(late, "MU008");
  await db.untilBlocked(second.pid);
  await first.commit();
  await outcome;
});

Deno.test("create_schedule() stores a thousand a tenant and no more", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { id } = await createSchedule(db, tenant);
  await db.sql`
    insert into muster.schedules (tenant_id, name, cron, time_zone, job, overlap, catch_up, jitter_seconds, created_by,
      created_at, updated_at)
    select tenant_id, n::text, cron, time_zone, job, overlap, catch_up, jitter_seconds, created_by, created_at, updated_at
    from muster.schedules, generate_series(1, 999) n where id = ${id}`;
  await refused(createSchedule(db, tenant), "MU015");
  await db.call(service, "delete_schedule", { caller: tenant.caller, schedule_id: id });
  await createSchedule(db, tenant);
});

Deno.test("making, changing and resuming a schedule takes both powers; pausing and deleting it, that to operate", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const keyOf = async (...scopes: string[]) => {
    const hash = crypto.randomUUID().replaceAll("-", "").repeat(2);
    await db.call(service, "create_api_key", {
      tenant_id: tenant.id,
      executor_name: "app",
      key_prefix: "msk_test",
      key_hash: hash,
      scopes,
    });
    return { kind: "api_key", hash };
  };
  const { id } = await createSchedule(db, tenant);
  const [operator, submitter] = [await keyOf("operate"), await keyOf("submit")];
  const schedule = { name: "a", cron: "@daily", job: { type: "a" } };
  for (const caller of [operator, submitter, (await createMember(db, tenant, "publisher")).caller]) {
    const calls: [string, Args][] = [
      ["create_schedule", { schedule }],
      ["change_schedule", { schedule_id: id, changes: { cron: "@daily" } }],
      ["resume_schedule", { schedule_id: id }],
    ];
    for (const [name, args] of calls) await refused(db.call(service, name, { caller, ...args }), "MU002", name);
  }
  const calls: [string, Args][] = [
    ["pause_schedule", submitter],
    ["delete_schedule", submitter],
    ["run_schedule", operator],
    ["get_schedule", operator],
  ];
  for (const [name, caller] of calls) {
    await refused(db.call(service, name, { caller, schedule_id: id }), "MU002", name);
  }
  await db.call(service, "run_schedule", { caller: submitter, schedule_id: id });
  await db.call(service, "pause_schedule", { caller: operator, schedule_id: id });
  await db.call(service, "delete_schedule", { caller: operator, schedule_id: id });
});
