import assert from "node:assert/strict";
import postgres from "postgres";
import { silent } from "../log.ts";
import { applyPlatform } from "../platform.ts";
import { startPostgres } from "../postgres.ts";
import { forgetData } from "../stack.ts";
import { until } from "../testing/wait.ts";
import { startCron } from "./runner.ts";

Deno.test("cron on a database", async (t) => {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-cron-" });
  const database = await startPostgres({ dataDir, port: 0, log: silent });
  await applyPlatform(database.adminDbUrl);
  const sql = postgres(database.dbUrl, { max: 1, onnotice: () => {} });
  const admin = postgres(database.adminDbUrl, { max: 1, onnotice: () => {} });
  await admin`
    insert into cron.job_run_details (jobid, status, username) values (99, 'running', 'postgres')`;
  const cron = await startCron(database.adminDbUrl, silent);

  await t.step("marks a run that a crash cut off as failed", async () => {
    const [run] = await sql`select status, return_message from cron.job_run_details where jobid = 99`;
    assert.deepEqual(run, { status: "failed", return_message: "server restarted" });
  });

  await t.step("runs a job as its user and records each run", async () => {
    await sql.unsafe("create table public.beats (who text)");
    const [job] = await sql`
      select cron.schedule('beat', '1 second', 'insert into public.beats select current_user') as id`;
    await until("the job ran twice", async () => (await sql`select from public.beats`).length >= 2);
    assert.deepEqual([...await sql`select distinct who from public.beats`], [{ who: "postgres" }]);
    const [run] = await sql`
      select jobid, username, database, status, return_message, end_time >= start_time as timed
      from cron.job_run_details where jobid = ${job!.id} and status = 'succeeded' limit 1`;
    assert.deepEqual(run, {
      jobid: job!.id,
      username: "postgres",
      database: "postgres",
      status: "succeeded",
      return_message: "INSERT 0 1",
      timed: true,
    });
  });

  await t.step("takes the same name again as a change of that job", async () => {
    const [again] = await sql`select cron.schedule('beat', '*/5 * * * *', 'select 1') as id`;
    const jobs = await sql`select jobid, schedule, command, active, jobname from cron.job`;
    assert.deepEqual([...jobs], [
      { jobid: again!.id, schedule: "*/5 * * * *", command: "select 1", active: true, jobname: "beat" },
    ]);
  });

  await t.step("records an error as a failed run", async () => {
    const [job] = await sql`select cron.schedule('fails', '1 second', 'select 1 / 0') as id`;
    await until("it failed", async () => {
      const [run] = await sql`
        select return_message from cron.job_run_details where jobid = ${job!.id} and status = 'failed'`;
      return run?.return_message === "ERROR:  division by zero";
    });
    assert.equal((await sql`select cron.unschedule('fails') as done`)[0]!.done, true);
  });

  await t.step("stops and changes a job by cron.alter_job", async () => {
    const [job] = await sql`select cron.schedule('59 seconds', 'select 2') as id`;
    await sql`select cron.alter_job(${job!.id}, schedule => '0 0 $ * *', active => false)`;
    const [altered] = await sql`select schedule, active, jobname from cron.job where jobid = ${job!.id}`;
    assert.deepEqual(altered, { schedule: "0 0 $ * *", active: false, jobname: null });
    assert.equal((await sql`select cron.unschedule(${job!.id}::bigint) as done`)[0]!.done, true);
  });

  await t.step("refuses what pg_cron refuses", async () => {
    await assert.rejects(sql`select cron.schedule('bad', '60 seconds', 'select 1')`, /invalid schedule/);
    await assert.rejects(sql`select cron.schedule('bad', 'every day', 'select 1')`, /invalid schedule/);
    await assert.rejects(sql`select cron.unschedule('unknown')`, /could not find valid entry for job 'unknown'/);
    await assert.rejects(
      sql`select cron.schedule_in_database('x', '* * * * *', 'select 1', 'postgres', 'supabase_admin')`,
      /superuser/,
    );
  });

  await t.step("keeps the jobs of one user from another", async () => {
    await admin`select cron.schedule('of another', '0 0 * * *', 'select 1')`;
    await assert.rejects(sql`select cron.unschedule('of another')`, /could not find/);
    await admin.unsafe("create role plain; grant usage on schema cron to plain; grant select on cron.job to plain");
    const seen = await admin.begin(async (tx) => {
      await tx`set local role plain`;
      return await tx`select from cron.job`;
    });
    assert.equal(seen.length, 0);
    const asAnon = admin.begin((tx) => [tx`set local role anon`, tx`select cron.schedule('x', '0 0 * * *', 'y')`]);
    await assert.rejects(asAnon, { code: "42501" });
  });

  await cron.stop();
  await Promise.all([sql.end(), admin.end()]);
  await database.stop();
  await forgetData(dataDir);
});
