import { parseArgs } from "node:util";
import { createWorker } from "../tests/support/actors.ts";
import { TestDatabase } from "../tests/support/database.ts";
import { laptopSettings, startCluster } from "./bench-cluster.ts";
import { cpuSeconds } from "./cpu.ts";
import { createWideTenant } from "./muster-core.ts";
import { percentile } from "./statistics.ts";

const runs = 5;
const variants = ["without", "unsealed", "with"] as const;
type Variant = typeof variants[number];
type Cost = { cpuMs: number; ms: number; walBytes: number };

/** What the audit log costs a job, from submission to completion, in SQL alone: singly, and a hundred a call. */
export async function audit(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { jobs: { type: "string", default: "400" } } });
  const jobs = Number(values.jobs);
  await using cluster = await startCluster(laptopSettings);
  Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", cluster.adminUrl);
  await using db = await TestDatabase.create({ fresh: true });
  const { texts, claims } = await prepare(db);
  console.log(`
${jobs} jobs a run, ten times as many in batches; a tick after each 200; medians of ${runs} runs in turn, each a job; CPU is that of all of Postgres.

| jobs a call | audit log          | CPU ms | ratio | wall ms | ratio | WAL bytes | ratio |
| ----------: | ------------------ | -----: | ----: | ------: | ----: | --------: | ----: |`);
  for (const batch of [1, 100]) {
    // In batches a job costs a tenth.
    const count = batch === 1 ? jobs : 10 * jobs;
    const costs: Record<Variant, Cost[]> = { without: [], unsealed: [], with: [] };
    for (let run = -1; run < runs; run++) {
      for (const variant of variants) {
        await db.sql.unsafe(texts[variant]);
        const cost = await measure(db, cluster.pid, claims, count, batch);
        // The first round fills caches.
        if (run >= 0) costs[variant].push(cost);
        await db.sql.unsafe(
          `set session_replication_role = replica; delete from muster.jobs; delete from muster.stored_events;
          delete from muster_private.audit_inbox; delete from muster.audit_log; delete from muster_private.audit_chains;
          set session_replication_role = origin`,
        );
        await db.sql`vacuum`;
      }
    }
    for (const variant of variants) tell(batch, variant, costs);
  }
}

/** Makes who submits and works, the loop that does so, and answers the SQL that turns the audit log on and off. */
async function prepare(db: TestDatabase): Promise<{ texts: Record<Variant, string>; claims: string }> {
  const tenant = await createWideTenant(db);
  const worker = await createWorker(db, tenant, { slots: 256 });
  // On the server, so that no client's work is measured; each call is a transaction of its own.
  await db.sql.unsafe(`
    create procedure public.run_jobs(jobs integer, batch integer) language plpgsql as $$
    declare
      v_jobs jsonb;
      v_wanted constant jsonb := (select jsonb_agg('{"type": "bench", "payload": {"a": 1}}'::jsonb) from generate_series(1, batch));
    begin
      for v_n in 1..jobs / batch loop
        perform muster.submit_jobs('${JSON.stringify(tenant.caller)}', v_wanted);
        commit;
        v_jobs := muster.claim_jobs(batch) -> 'jobs';
        commit;
        perform muster.complete_jobs((select jsonb_agg(jsonb_build_object('job_id', j -> 'job_id', 'attempt', j -> 'attempt',
          'status', 'succeeded', 'result', 1)) from jsonb_array_elements(v_jobs) j));
        commit;
        if v_n * batch % 200 = 0 then
          perform muster.tick();
          commit;
        end if;
      end loop;
    end $$`);
  const textsOf = async (which: string): Promise<string[]> => {
    const rows = await db.sql`
      select pg_get_functiondef(p.oid) as text from pg_proc p
      where p.pronamespace = 'muster_private'::regnamespace and p.prosrc ~ ${which} order by p.oid`;
    return rows.map((row) => row["text"]);
  };
  const noting = await textsOf("insert into muster_private.audit_inbox");
  const withoutNotes = noting.map(withoutNote);
  const sealing = await textsOf("delete from muster_private.audit_inbox");
  if (noting.length < 4 || sealing.length !== 1) throw new Error("Cannot find what writes the audit log");
  const withoutSealing = sealing.map((text) => text.replace(/declare[^]*end\n/, "begin return 0; end\n"));
  return {
    texts: {
      without: [...withoutNotes, ...withoutSealing].join(";"),
      unsealed: [...noting, ...withoutSealing].join(";"),
      with: [...noting, ...sealing].join(";"),
    },
    claims: JSON.stringify(worker.actor.claims),
  };
}

/** The function with nothing in place of the statement that notes an entry, be it one of its own or part of another. */
function withoutNote(text: string): string {
  const from = text.indexOf("insert into muster_private.audit_inbox");
  let end = from;
  for (let open = 0; open > 0 || !/[;)]/.test(text[end]!); end++) {
    open += text[end] === "(" ? 1 : text[end] === ")" ? -1 : 0;
  }
  return `${text.slice(0, from)}delete from muster_private.audit_inbox where false${text.slice(end)}`;
}

async function measure(
  db: TestDatabase,
  postmaster: number,
  claims: string,
  jobs: number,
  batch: number,
): Promise<Cost> {
  const connection = await db.sql.reserve();
  try {
    await connection`select set_config('request.jwt.claims', ${claims}, false)`;
    await connection`checkpoint`;
    const lsn = async (): Promise<number> => {
      const [row] = await connection`select (pg_current_wal_insert_lsn() - '0/0')::float8 as at`;
      return row!["at"];
    };
    const [wal, cpu, began] = [await lsn(), await cpuSeconds(postmaster), performance.now()];
    await connection.unsafe(`call public.run_jobs(${jobs}, ${batch})`);
    const ms = performance.now() - began;
    return {
      ms: ms / jobs,
      cpuMs: (await cpuSeconds(postmaster) - cpu) * 1000 / jobs,
      walBytes: (await lsn() - wal) / jobs,
    };
  } finally {
    connection.release();
  }
}

function tell(batch: number, variant: Variant, costs: Record<Variant, Cost[]>): void {
  const cells = (["cpuMs", "ms", "walBytes"] as const).flatMap((field) => {
    const median = (each: Variant) => percentile(costs[each].map((cost) => cost[field]), 0.5);
    const digits = field === "walBytes" ? 0 : 3;
    return [median(variant).toFixed(digits), (median(variant) / median("without")).toFixed(2)];
  });
  const [cpu, cpuRatio, ms, msRatio, wal, walRatio] = cells as [string, string, string, string, string, string];
  const names = { without: "none", unsealed: "entries, not sealed", with: "entries and sealing" };
  console.log(
    `| ${String(batch).padStart(11)} | ${
      names[variant].padEnd(19)
    } | ${cpu} | ${cpuRatio} | ${ms} | ${msRatio} | ${wal} | ${walRatio} |`,
  );
}
