import { readdir } from "node:fs/promises";
import postgres from "postgres";
import { figureOf } from "../statistics.ts";
import type { Context } from "./context.ts";

const clients = 4;
const batch = 100;

/** The least that a queue in Postgres does: an insert, a claim that skips what is locked, an update that completes. */
const schema = `
  create table floor_jobs (
    id bigint generated always as identity primary key, status text not null default 'queued', payload jsonb not null,
    result jsonb, attempts integer not null default 0, started_at timestamptz, finished_at timestamptz);
  create index floor_jobs_queued_idx on floor_jobs (id) where status = 'queued'`;

const insert = `insert into floor_jobs (payload) select jsonb_build_object('id', n) from generate_series(1, 1000) n`;

function claim(size: number): string {
  return `with taken as (
      select id from floor_jobs where status = 'queued' order by id limit ${size} for update skip locked
    ), claimed as (
      update floor_jobs j set status = 'running', attempts = j.attempts + 1, started_at = now()
      from taken t where j.id = t.id returning j.id
    ) select array_agg(id) as ids from claimed`;
}

function complete(ids: string): string {
  return `update floor_jobs set status = 'succeeded', result = 'true', finished_at = now()
    where id = any (cast(${ids} as bigint[]))`;
}

/** What the same rows cost where nothing is matched, fenced or kept: shown beside the others, without an aim. */
export async function floor(context: Context): Promise<void> {
  const { sizes } = context;
  const url = await context.createDatabase("floor");
  const sql = postgres(url, { max: clients, onnotice: () => {} });
  try {
    await sql.unsafe(schema);
    const pgbench = await findPgbench();
    const run = pgbench === undefined
      ? (script: Script, calls: number) => runHere(sql, script, calls)
      : (script: Script, calls: number) => runPgbench(pgbench.path, url, script, calls);
    const by = pgbench === undefined ? "postgres.js, as there is no pgbench" : `pgbench ${pgbench.version}`;
    context.say(`floor by ${by}`);
    const acts: Record<string, { script: Script; jobs: number; perCall: number }> = {
      "submit, 1,000 a call": { script: [insert], jobs: sizes.drained, perCall: 1000 },
      "drain, 100 a call": { script: [claim(batch), complete(":ids")], jobs: sizes.drained, perCall: batch },
      "drain, 1 a call": { script: [claim(1), complete(":ids")], jobs: sizes.single, perCall: 1 },
    };
    const rates = new Map(Object.keys(acts).map((name) => [name, [] as number[]]));
    for (let round = 0; round <= sizes.runs; round++) {
      for (const [name, { script, jobs, perCall }] of Object.entries(acts)) {
        // The queue is never empty: who finds nothing would do less.
        if (perCall !== 1000) await sql.unsafe(insert.replace("1000", String(jobs + 2 * clients * perCall)));
        await context.vacuum(url);
        const tps = await run(script, Math.max(1, Math.floor(jobs / perCall / clients)));
        await sql`truncate floor_jobs`;
        if (round > 0) rates.get(name)!.push(tps * perCall);
      }
    }
    for (const [name, values] of rates) {
      context.results.floor.push({ name, figure: figureOf(values), by });
    }
  } finally {
    await sql.end();
  }
}

/** One statement, or a claim and what is done with its `ids`. */
type Script = [statement: string] | [claim: string, complete: string];

async function runPgbench(pgbench: string, url: string, [first, second]: Script, calls: number): Promise<number> {
  const file = await Deno.makeTempFile({ suffix: ".sql" });
  try {
    await Deno.writeTextFile(file, second === undefined ? `${first};\n` : `${oneLine(first)} \\gset\n${second};\n`);
    const { success, stdout, stderr } = await new Deno.Command(pgbench, {
      args: ["-n", "-M", "prepared", "-c", String(clients), "-j", "2", "-t", String(calls), "-f", file, url],
    }).output();
    const text = new TextDecoder().decode(stdout);
    const tps = /tps = ([\d.]+)/.exec(text)?.[1];
    if (!success || tps === undefined) throw new Error(`pgbench failed: ${text}${new TextDecoder().decode(stderr)}`);
    return Number(tps);
  } finally {
    await Deno.remove(file);
  }
}

async function runHere(sql: postgres.Sql, [first, second]: Script, calls: number): Promise<number> {
  const began = performance.now();
  await Promise.all(Array.from({ length: clients }, async () => {
    for (let n = 0; n < calls; n++) {
      const [row] = await sql.unsafe(first, [], { prepare: true });
      if (second !== undefined) {
        await sql.unsafe(second.replace(":ids", "$1::text"), [`{${row!["ids"].join(",")}}`], { prepare: true });
      }
    }
  }));
  return clients * calls / (performance.now() - began) * 1000;
}

/** A command of pgbench ends with the line. */
function oneLine(statement: string): string {
  return statement.replace(/\s+/g, " ");
}

/** Its own, or that of a Postgres of Debian's; the embedded one has none. */
async function findPgbench(): Promise<{ path: string; version: string } | undefined> {
  const versions = await readdir("/usr/lib/postgresql").catch(() => []);
  for (const path of ["pgbench", ...versions.map((version) => `/usr/lib/postgresql/${version}/bin/pgbench`)]) {
    const found = await new Deno.Command(path, { args: ["--version"], stderr: "null" }).output()
      .catch(() => undefined);
    const version = found?.success && /\d[\d.]*/.exec(new TextDecoder().decode(found.stdout))?.[0];
    if (version) return { path, version };
  }
  return undefined;
}
