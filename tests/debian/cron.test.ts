import assert from "node:assert/strict";
import postgres from "postgres";
import { asPostgres, databaseUrl, openDatabase } from "../deploy/database.ts";
import { createTenant, createWorker, submit } from "../support/actors.ts";
import { TestDatabase, until } from "../support/database.ts";
import { namedCronVersions } from "../support/debian-postgres.ts";

const adminUrl = Deno.env.get("MUSTER_TEST_ADMIN_DB_URL")!;

// Its version knows minutes only, so the first run begins up to a minute after anything; the rest is for a busy machine.
const patienceMs = 300_000;

Deno.test("the migrations create the real pg_cron and give it its jobs, as a role that is no superuser", async () => {
  await using sql = openDatabase();
  const [extension] = await sql`
    select extversion as version, extnamespace::regnamespace::text as schema from pg_extension where extname = 'pg_cron'`;
  assert.match(extension!.version, /^1\.4/);
  assert.equal(extension!.schema, "pg_catalog");
  const jobs = await sql`select jobname, schedule, username, database, active from cron.job order by 1`;
  const common = { username: "postgres", database: "postgres", active: true };
  assert.deepEqual([...jobs], [
    { jobname: "muster-cron-history", schedule: "17 * * * *", ...common },
    { jobname: "muster-tick", schedule: "* * * * *", ...common },
  ]);
});

Deno.test("the real pg_cron ticks every few seconds, though its version knows minutes only", async () => {
  await using sql = openDatabase();
  const seen = new Set<number>();
  await until(
    async () => {
      const [row] = await sql`select extract(epoch from last_tick_at)::float as at from muster_private.scheduler_state`;
      seen.add(row!.at);
      const ticks = [...seen].sort((a, b) => a - b);
      return ticks.some((at, index) => ticks[index + 1]! - at < 20);
    },
    "two ticks are less than 20 s apart",
    patienceMs,
  );
  const runs = await sql`
    select distinct d.status from cron.job_run_details d join cron.job j using (jobid)
    where j.jobname = 'muster-tick'`;
  assert.ok(runs.length > 0);
  assert.ok(runs.every(({ status }) => status !== "failed"), JSON.stringify(runs));
});

Deno.test("a lost worker's job is reassigned by the real pg_cron, with nobody else there to notice", async () => {
  await using db = TestDatabase.existing(adminUrl);
  const tenant = await createTenant(db);
  const lost = await createWorker(db, tenant, { slots: 1 });
  const [job] = await submit(db, tenant, {});
  const [attempt] = await lost.claim();
  assert.equal(attempt!.job_id, job.id);
  await lost.heartbeat({ running: [{ job_id: job.id, attempt: 1 }] });

  const idle = await createWorker(db, tenant, { slots: 1, listening: true });
  // It beats on, as it were: its calls would run a late tick themselves.
  await db.sql`update muster.worker_heartbeats set deadline_at = now() + interval '1 day' where worker_id = ${idle.id}`;

  await until(
    async () => {
      const given = await db.sql`
      select from muster.job_events
      where job_id = ${job.id} and attempt = 2 and data @> ${db.sql.json({ status: "assigned", worker_id: idle.id })}`;
      return given.length > 0;
    },
    "the second attempt is the idle worker's",
    patienceMs,
  );
  const [device] = await db.sql`select status from muster.worker_devices where id = ${lost.id}`;
  assert.equal(device!.status, "offline");
});

Deno.test("the user of each job of pg_cron may do what the job does", async () => {
  await using sql = openDatabase();
  const jobs = await sql`select command from cron.job where jobname = 'muster-cron-history'`;
  assert.equal(jobs.length, 1);
  await sql.unsafe(jobs[0]!.command);
  await sql`select muster.tick()`;
});

Deno.test("schedule_tick() has pg_cron count seconds from version 1.5 on, and can be run again", async () => {
  await using db = await TestDatabase.create();
  const sql = postgres(asPostgres(db.url), { max: 1, onnotice: () => {} });
  const schedules: Record<string, string> = {};
  try {
    const [none] = await sql`select muster_private.schedule_tick() as schedule`;
    assert.equal(none!.schedule, null);
    for (const version of namedCronVersions) {
      await db.sql.unsafe(`create extension pg_cron with schema pg_catalog version '${version}'`);
      await sql`select muster_private.schedule_tick()`;
      await sql`select muster_private.schedule_tick()`;
      const jobs = await sql`select schedule, command from cron.job where jobname = 'muster-tick'`;
      assert.equal(jobs.length, 1);
      schedules[version] = `${jobs[0]!.schedule}: ${jobs[0]!.command}`;
      await db.sql`drop extension pg_cron`;
    }
  } finally {
    await sql.end();
  }
  assert.deepEqual(
    schedules,
    Object.fromEntries(namedCronVersions.map((version) => [version, "3 seconds: select muster.tick()"])),
  );
});

// Held here, because all of the above asks this database.
assert.ok(databaseUrl, "SUPABASE_DB_URL must be set, as npm test does");
