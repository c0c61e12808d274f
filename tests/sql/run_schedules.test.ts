import assert from "node:assert/strict";
import {
  createSecret,
  createTenant,
  createWorker,
  getJob,
  submit,
  succeeded,
  type TestTenant,
} from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";
import { createSchedule, getSchedule, jobsOf, tickAt } from "../support/schedules.ts";

const hour = (n: number) => `2026-01-01T0${n}:00:00.000000Z`;

Deno.test("a schedule that is due submits its job, once, and to an idle worker in the same tick", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant, { job: { type: "backup", payload: { a: 1 }, priority: 7 } });
  await tickAt(db, "2026-01-01T00:59:59Z");
  assert.deepEqual(await jobsOf(db, schedule), []);
  await createWorker(db, tenant, { listening: true });
  await tickAt(db, "2026-01-01T01:00:00Z");
  await tickAt(db, "2026-01-01T01:00:03Z");
  const [job, ...more] = await jobsOf(db, schedule);
  assert.deepEqual(more, []);
  assert.deepEqual([job.type, job.payload, job.priority, job.status, job.run], [
    "backup",
    { a: 1 },
    7,
    "assigned",
    hour(1),
  ]);
  assert.equal(job.correlation_id, `schedule:${schedule.id}`);
  const shown = await getSchedule(db, tenant, schedule.id);
  assert.deepEqual([shown.last_run_at, shown.last_job_id, shown.run_count, shown.last_skip, shown.next_run_at], [
    hour(1),
    job.id,
    1,
    null,
    hour(2),
  ]);
});

Deno.test("a run whose tick was rolled back is made by the next one, once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant);
  await db.advance(3600);
  await using crashed = await db.transaction();
  await crashed.call(service, "tick");
  await crashed.rollback();
  assert.deepEqual(await jobsOf(db, schedule), []);
  await db.call(service, "tick");
  await db.call(service, "tick");
  assert.equal((await jobsOf(db, schedule)).length, 1);
});

Deno.test("a schedule that is being changed is left to the next tick", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant);
  await db.advance(3600);
  await using tx = await db.transaction();
  await tx.call(service, "change_schedule", {
    caller: { kind: "service", tenant_id: tenant.id },
    schedule_id: schedule.id,
    changes: { job: { type: "changed" } },
  });
  await db.call(service, "tick");
  assert.deepEqual(await jobsOf(db, schedule), []);
  await tx.commit();
  await db.call(service, "tick");
  assert.deepEqual((await jobsOf(db, schedule)).map(({ type }) => type), ["changed"]);
});

Deno.test("a tick waits a moment at most for what a run needs, and the run is made later", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const stuck = await createSchedule(db, tenant, { job: { type: "a", requires: ["new/class"] } });
  const free = await createSchedule(db, other);
  await db.advance(3600);
  await using tx = await db.transaction();
  // Who makes another new set of requirements of the tenant.
  await tx.call(service, "submit_jobs", {
    caller: { kind: "service", tenant_id: tenant.id },
    jobs: [{ type: "a", requires: ["another/class"] }],
  });
  await db.call(service, "tick");
  assert.deepEqual([(await jobsOf(db, stuck)).length, (await jobsOf(db, free)).length], [0, 1]);
  await tx.commit();
  await db.call(service, "tick");
  assert.deepEqual([(await jobsOf(db, stuck)).length, (await jobsOf(db, free)).length], [1, 1]);
});

Deno.test("of missed runs, none, the last or all are made up for", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [none, last, all] = [
    await createSchedule(db, tenant, { catch_up: "none" }),
    await createSchedule(db, tenant, { catch_up: "last" }),
    await createSchedule(db, tenant, { catch_up: "all" }),
  ];
  await tickAt(db, "2026-01-01T03:10:00Z");
  assert.deepEqual((await jobsOf(db, none)).map(({ run }) => run), []);
  assert.deepEqual((await jobsOf(db, last)).map(({ run }) => run), [hour(3)]);
  assert.deepEqual((await jobsOf(db, all)).map(({ run }) => run), [hour(1), hour(2), hour(3)]);
  const shown = await getSchedule(db, tenant, none.id);
  assert.deepEqual([shown.last_skip, shown.next_run_at], [
    { run_at: hour(1), reason: "missed", message: null },
    hour(4),
  ]);
  // A tick is never on the second: what is less than a minute late was not missed.
  await tickAt(db, "2026-01-01T04:00:59Z");
  assert.deepEqual((await jobsOf(db, none)).map(({ run }) => run), [hour(4)]);
});

Deno.test("of more than a hundred missed runs the last hundred are made up for", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant, { cron: "* * * * *", catch_up: "all" });
  await tickAt(db, "2026-01-03T00:00:30Z");
  const jobs = await jobsOf(db, schedule);
  assert.deepEqual([jobs.length, jobs[0].run, jobs.at(-1).run], [
    100,
    "2026-01-02T22:21:00.000000Z",
    "2026-01-03T00:00:00.000000Z",
  ]);
  assert.equal((await getSchedule(db, tenant, schedule.id)).run_count, 100);
});

Deno.test("with overlap skip a run is left out while the job of the last one has not ended", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant, { overlap: "skip" });
  await tickAt(db, "2026-01-01T01:00:00Z");
  await tickAt(db, "2026-01-01T02:00:00Z");
  assert.equal((await jobsOf(db, schedule)).length, 1);
  const { last_skip, next_run_at } = await getSchedule(db, tenant, schedule.id);
  assert.deepEqual([last_skip, next_run_at], [{ run_at: hour(2), reason: "overlap", message: null }, hour(3)]);
  const worker = await createWorker(db, tenant);
  const [claimed] = await worker.claim();
  await worker.complete([succeeded(claimed!)]);
  await tickAt(db, "2026-01-01T03:00:00Z");
  assert.deepEqual((await jobsOf(db, schedule)).map(({ run }) => run), [hour(1), hour(3)]);
});

Deno.test("with overlap replace a run cancels the job of the last one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant, { name: "nightly", overlap: "replace" });
  await tickAt(db, "2026-01-01T01:00:00Z");
  await tickAt(db, "2026-01-01T02:00:00Z");
  const [first, second] = await jobsOf(db, schedule);
  assert.deepEqual([first.status, second.status, second.run], ["cancelled", "queued", hour(2)]);
  assert.equal(first.error.message, 'Replaced by the next run of schedule "nightly"');
});

Deno.test("jitter puts a run off by the same time whoever reckons it, within its bounds", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant, { jitter_seconds: 600, catch_up: "all" });
  await db.advance(3600);
  await using tx = await db.transaction();
  await tx.call(service, "tick");
  await tx.rollback();
  await tickAt(db, "2026-01-01T05:00:00Z");
  const jobs = await jobsOf(db, schedule);
  const delays = jobs.map(({ run, run_at }) => (run_at.getTime() - Date.parse(run)) / 1000);
  // Missed ones start at once; the one of this hour waits.
  assert.equal(jobs.length, 5);
  assert.deepEqual(delays.slice(0, 4), [14400, 10800, 7200, 3600]);
  const last = delays.at(-1)!;
  assert.ok(last >= 0 && last <= 600, `${last}`);
  const [reckoned] = await db.sql`
    select muster_private.scheduled_item(s, ${hour(5)}, ${hour(5)}) ->> 'run_at' as run_at from muster.schedules s`;
  assert.equal(Date.parse(reckoned!.run_at ?? hour(5)), jobs.at(-1).run_at.getTime());
  const spread = await db.sql`
    select distinct muster_private.scheduled_item(s, ${hour(5)}::timestamptz + n * interval '1 hour', ${
    hour(5)
  }) ->> 'run_at'
    from muster.schedules s, generate_series(1, 20) n`;
  assert.ok(spread.length > 10);
});

Deno.test("a run that is refused is noted, is not tried again, and spoils no other schedule", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createSecret(db, tenant, "KEY");
  const bad = await createSchedule(db, tenant, { job: { type: "test", secrets: ["KEY"] } });
  const good = await createSchedule(db, tenant);
  await db.call(service, "delete_secret", { caller: { kind: "service", tenant_id: tenant.id }, name: "KEY" });
  await tickAt(db, "2026-01-01T01:00:00Z");
  assert.deepEqual([(await jobsOf(db, bad)).length, (await jobsOf(db, good)).length], [0, 1]);
  const { last_skip, next_run_at, run_count } = await getSchedule(db, tenant, bad.id);
  assert.deepEqual([last_skip.run_at, last_skip.reason, next_run_at, run_count], [hour(1), "refused", hour(2), 0]);
  assert.match(last_skip.message, /no secret KEY/);
  await createSecret(db, tenant, "KEY");
  await tickAt(db, "2026-01-01T02:00:00Z");
  assert.equal((await jobsOf(db, bad)).length, 1);
});

Deno.test("a replaced job stays as it is when the run that would replace it is refused", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant, { overlap: "replace" });
  await tickAt(db, "2026-01-01T01:00:00Z");
  const { last_job_id } = await getSchedule(db, tenant, schedule.id);
  await limitWaiting(db, tenant, 0);
  await tickAt(db, "2026-01-01T02:00:00Z");
  assert.equal((await getJob(db, tenant, last_job_id)).status, "queued");
  assert.equal((await getSchedule(db, tenant, schedule.id)).last_skip.reason, "refused");
});

Deno.test("a schedule ends with its last run", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant, { ends_at: "2026-01-01T02:30:00Z", catch_up: "all" });
  await tickAt(db, "2026-01-01T06:00:00Z");
  assert.deepEqual((await jobsOf(db, schedule)).map(({ run }) => run), [hour(1), hour(2)]);
  const { next_run_at, next_runs } = await getSchedule(db, tenant, schedule.id);
  assert.deepEqual([next_run_at, next_runs], [null, []]);
  await tickAt(db, "2026-01-01T07:00:00Z");
  assert.equal((await jobsOf(db, schedule)).length, 2);
});

Deno.test("a tenant's flood of schedules does not keep another's waiting", async () => {
  await using db = await TestDatabase.create();
  const [flood, other] = [await createTenant(db), await createTenant(db)];
  await copies(db, await createSchedule(db, flood, { cron: "30 0 * * *" }), 999);
  await copies(db, await createSchedule(db, other, { cron: "31 0 * * *" }), 4);
  const runs = async (tenant: TestTenant) =>
    Number((await db.sql`select count(*) as n from muster.jobs where tenant_id = ${tenant.id}`)[0]!.n);
  await tickAt(db, "2026-01-01T00:32:00Z");
  assert.deepEqual([await runs(flood), await runs(other)], [95, 5]);
  await tickAt(db, "2026-01-01T00:32:03Z");
  assert.deepEqual([await runs(flood), await runs(other)], [195, 5]);
});

Deno.test("a tick with no schedule due reads no more than the head of the index", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await copies(db, await createSchedule(db, tenant, { cron: "@yearly" }), 900);
  await db.sql`analyze muster.schedules`;
  const plan = await db.sql`
    explain select s.id from muster.schedules s where s.next_run_at <= ${await db
    .now()} order by s.next_run_at limit 1000`;
  assert.match(plan.map((row) => row["QUERY PLAN"]).join("\n"), /schedules_due_idx/);
});

Deno.test("the jobs of schedules count with a tenant's others, and belong to whose app made the schedule", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const schedule = await createSchedule(db, tenant, { job: { type: "test", concurrency_key: "one" } });
  const [held] = await submit(db, tenant, { concurrency_key: "one" });
  await tickAt(db, "2026-01-01T01:00:00Z");
  const [job] = await jobsOf(db, schedule);
  assert.deepEqual([held.status, job.status, job.executor_id], ["queued", "blocked", tenant.executorId]);
});

async function copies(db: TestDatabase, { id }: Args, count: number): Promise<void> {
  await db.sql`
    insert into muster.schedules (tenant_id, name, cron, time_zone, job, overlap, catch_up, jitter_seconds, next_run_at,
      created_by, created_at, updated_at)
    select tenant_id, n::text, cron, time_zone, job, overlap, catch_up, jitter_seconds, next_run_at, created_by, created_at,
      updated_at
    from muster.schedules, generate_series(1, ${count}) n where id = ${id as string}`;
}

async function limitWaiting(db: TestDatabase, tenant: TestTenant, waiting_jobs: number): Promise<void> {
  await db.call(service, "set_limits", { caller: { kind: "service", tenant_id: tenant.id }, limits: { waiting_jobs } });
}
