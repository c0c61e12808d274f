import process from "node:process";
import postgres from "postgres";
import { type BenchCluster, serverSettings } from "../bench-cluster.ts";
import { cpuSeconds } from "../cpu.ts";
import { type Cost, noResults, type Outcome, type Results, type Series } from "./outcome.ts";
import type { Run } from "./run.ts";
import type { Sizes } from "./sizes.ts";

/** What a measured act took. */
export type Spent = { ms: number; serverMicroseconds: number; clientMicroseconds: number; walBytes: number };

/** What every part of the comparison works with, and where it leaves what it found. */
export class Context implements AsyncDisposable {
  /** Of the part that is being measured. */
  results: Results = noResults();
  #run: Run | undefined;
  readonly #began = performance.now();
  readonly #admin: postgres.Sql;

  constructor(
    readonly cluster: BenchCluster,
    readonly sizes: Sizes,
    readonly settings: Record<string, string> = serverSettings,
  ) {
    this.#admin = postgres(cluster.adminUrl, { max: 1, onnotice: () => {} });
  }

  /** The next part has the context. */
  begin(results: Results, run: Run): void {
    this.results = results;
    this.#run = run;
  }

  /** A line of progress, on the error output so that the tables can be redirected. */
  say(text: string): void {
    const seconds = Math.floor((performance.now() - this.#began) / 1000);
    console.error(`${String(Math.floor(seconds / 60)).padStart(3)}:${String(seconds % 60).padStart(2, "0")}  ${text}`);
  }

  /** What is found is kept at once. */
  async add(...outcomes: Outcome[]): Promise<void> {
    this.results.outcomes.push(...outcomes);
    await this.#run?.save();
  }

  /** A rate of graphile-worker's in each round, if the part that measures it has been, today or before. */
  peerRates(of: "drain" | "submit"): readonly number[] | undefined {
    return this.#run?.results.peers[of];
  }

  draw(...series: Series[]): void {
    this.results.series.push(...series);
  }

  cost(name: string, jobs: number, runs: readonly Spent[]): void {
    const total = (field: "serverMicroseconds" | "clientMicroseconds") =>
      runs.reduce((sum, run) => sum + run[field], 0) / runs.length / jobs;
    this.results.costs.push(
      {
        ...{ name, jobs },
        ...{ serverMicroseconds: total("serverMicroseconds"), clientMicroseconds: total("clientMicroseconds") },
      } satisfies Cost,
    );
  }

  async createDatabase(name: string): Promise<string> {
    await this.#admin.unsafe(`create database ${name}`);
    const url = new URL(this.cluster.adminUrl);
    url.pathname = `/${name}`;
    return url.href;
  }

  /**
   * Times an act, and counts processor time and WAL of the whole server meanwhile. The act may know better how long it
   * took, and what a client in another process used.
   */
  async measure(act: () => Promise<{ ms?: number; clientCpuMs?: number } | void>): Promise<Spent> {
    const [wal, server] = [await this.#walBytes(), await cpuSeconds(this.cluster.pid)];
    const [own, began] = [process.cpuUsage(), performance.now()];
    const told = await act();
    const ms = told?.ms ?? performance.now() - began;
    const { user, system } = process.cpuUsage(own);
    return {
      ms,
      serverMicroseconds: (await cpuSeconds(this.cluster.pid) - server) * 1e6,
      clientMicroseconds: told?.clientCpuMs === undefined ? user + system : told.clientCpuMs * 1000,
      walBytes: await this.#walBytes() - wal,
    };
  }

  /** As autovacuum does sooner or later; here before each run, so that none is measured by the luck of its statistics. */
  async vacuum(url: string): Promise<void> {
    const sql = postgres(url, { max: 1, onnotice: () => {} });
    await sql.unsafe("vacuum (analyze)");
    await sql.end();
  }

  async serverVersion(): Promise<string> {
    const [row] = await this.#admin`show server_version`;
    return row!["server_version"];
  }

  /** What the server was told, as far as it matters to what is measured. */
  async serverSettings(): Promise<Record<string, string>> {
    const rows = await this.#admin`
      select name, current_setting(name) as value from pg_settings
      where source = 'command line' and name !~* '^(log_|listen_|unix_|port$|timezone$)' order by name`;
    return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.end();
  }

  async #walBytes(): Promise<number> {
    const [row] = await this.#admin`select (pg_current_wal_insert_lsn() - '0/0')::float8 as at`;
    return row!["at"];
  }
}

export function perSecond(jobs: number, runs: readonly { ms: number }[]): number[] {
  return runs.map(({ ms }) => jobs / ms * 1000);
}
