import { createTenant, createWorker, submit } from "../tests/support/actors.ts";
import { service, TestDatabase } from "../tests/support/database.ts";
import { laptopSettings, startCluster } from "./bench-cluster.ts";
import { percentile } from "./statistics.ts";

const rounds = 4;
const calls = 100;

/** What is put out of action for comparison. */
const counting = ["charge_caller", "charge_worker", "check_job_quota"];

/** What counting requests and waiting jobs adds to a call: CPU of its Postgres connections, in turns with and without. */
export async function limits(): Promise<void> {
  await using cluster = await startCluster(laptopSettings);
  Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", cluster.adminUrl);
  await using db = await TestDatabase.create({ fresh: true });
  // A clock that moves and costs what the real one does.
  await db.sql.unsafe(`
    create or replace function muster_private.now() returns timestamptz language plpgsql volatile set search_path = ''
    as $$ begin return pg_catalog.clock_timestamp(); end $$`);
  const tenant = await createTenant(db);
  await db.sql`
    insert into muster.tenant_limits (tenant_id, api_key_rate, api_key_burst, worker_rate, worker_burst)
    values (${tenant.id}, 100000, 100000, 100000, 100000)`;
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { requires: ["none/such"] });
  const acts: Record<string, () => Promise<unknown>> = {
    "submit one job": () => submit(db, tenant, { requires: ["none/such"] }),
    "read a job": () => db.call(service, "get_job", { caller: tenant.caller, job_id: job.id }),
    "claim that finds nothing": () => worker.claim(),
    "heartbeat of an idle worker": () => worker.heartbeat(),
  };

  const texts = await db.sql`
    select pg_get_functiondef(p.oid) as text from pg_proc p
    where p.pronamespace = 'muster_private'::regnamespace and p.proname = any (${counting})`;
  const times = new Map(Object.keys(acts).map((name) => [name, { on: [] as number[], off: [] as number[] }]));
  for (let round = 0; round < rounds; round++) {
    for (const mode of ["on", "off"] as const) {
      for (const { text } of texts) {
        const empty = "AS $function$ begin end $function$";
        await db.sql.unsafe(mode === "on" ? text : text.replace(/AS \$function\$[\s\S]*\$function\$/, () => empty));
      }
      for (const [name, act] of Object.entries(acts)) {
        // Each connection plans anew.
        for (let n = 0; n < 12; n++) await act();
        const before = await cpuMs(db);
        for (let n = 0; n < calls; n++) await act();
        times.get(name)![mode].push((await cpuMs(db) - before) / calls);
      }
    }
  }
  console.log(`\n| ${"CPU a call, median of " + rounds} | without | with | more |\n| --- | ---: | ---: | ---: |`);
  for (const [name, { on, off }] of times) {
    const [with_, without] = [percentile(on, 0.5), percentile(off, 0.5)];
    const more = `${(100 * (with_ / without - 1)).toFixed(0)}%`;
    console.log(`| ${name} | ${without.toFixed(2)} ms | ${with_.toFixed(2)} ms | ${more} |`);
  }
}

/** Milliseconds that the connections to the database have computed. */
async function cpuMs(db: TestDatabase): Promise<number> {
  const rows = await db.sql`select pid from pg_stat_activity where datname = current_database()`;
  const times = await Promise.all(rows.map(({ pid }) => Deno.readTextFile(`/proc/${pid}/schedstat`)));
  return times.reduce((sum, text) => sum + Number(text.split(" ")[0]), 0) / 1e6;
}
