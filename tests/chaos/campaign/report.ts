import type { Totals } from "./auditor/audit.ts";
import type { Aftermath } from "./auditor/recovery.ts";
import type { Violation } from "./auditor/violation.ts";
import type { UnexpectedEnd } from "./workers.ts";

/** What a campaign came to. */
export interface Outcome {
  readonly seed: number;
  readonly scheduleHash: string;
  /** How long faults were made, in seconds. */
  readonly seconds: number;
  readonly workerCount: number;
  readonly aftermaths: readonly Aftermath[];
  readonly violations: readonly Violation[];
  readonly totals: Totals;
  readonly staleResults: number;
  readonly unexpectedEnds: readonly UnexpectedEnd[];
  /** Faults whose target was never in the state they are meant for: they struck nevertheless. */
  readonly outOfState: readonly string[];
  /** From the end of the last fault until no job was open, in seconds. */
  readonly quietSeconds: number;
}

/** Zero lost and zero doubled, and no other violation, is the only pass. */
export function hasPassed({ violations, unexpectedEnds }: Outcome): boolean {
  return violations.length === 0 && unexpectedEnds.length === 0;
}

/** The table and what stands below it. */
export function report(outcome: Outcome): string {
  const { totals, violations, unexpectedEnds } = outcome;
  const statuses = Object.entries(totals.byStatus).map(([status, count]) => `${count} ${status}`).join(", ");
  const lines = [
    table(outcome),
    "",
    policyTable(totals),
    "",
    `jobs ${totals.jobs} (${statuses}), attempts ${totals.attempts}, of these retries ${totals.retries}`,
    `executions ${totals.executions}, results that count nowhere ${totals.uncountedResults}, ` +
    `refused as stale ${outcome.staleResults}, kept as evidence ${totals.lateResults}`,
    `${outcome.workerCount} workers, ${outcome.seconds.toFixed(0)} s of faults, quiet after ${
      outcome.quietSeconds.toFixed(1)
    } s; seed ${outcome.seed}, schedule ${outcome.scheduleHash}`,
  ];
  if (outcome.outOfState.length > 0) {
    lines.push(`struck out of the state they are meant for: ${tally(outcome.outOfState)}`);
  }
  for (const { worker, code, signal, lastWords } of unexpectedEnds) {
    lines.push(`worker ${worker} ended by itself with ${signal ?? `exit code ${code}`}: ${lastWords.trim()}`);
  }
  for (const { kind, what, jobId } of violations.slice(0, 100)) lines.push(`${kind}: ${jobId ?? ""} ${what}`);
  if (violations.length > 100) lines.push(`and ${violations.length - 100} more`);
  lines.push(hasPassed(outcome) ? "PASSED: nothing lost, nothing doubled" : `FAILED with seed ${outcome.seed}`);
  return lines.join("\n");
}

function table({ aftermaths, violations }: Outcome): string {
  const lost = new Set(violations.filter(({ kind }) => kind === "lost").map(({ jobId }) => jobId));
  const doubled = new Set(violations.filter(({ kind }) => kind === "doubled").map(({ jobId }) => jobId));
  const rows = [["fault", "times", "jobs touched", "lost", "doubled", "recovery p50", "p95", "max"]];
  for (const fault of new Set(aftermaths.map(({ fault }) => fault))) {
    const all = aftermaths.filter((each) => each.fault === fault);
    const touched = all.flatMap(({ touched }) => touched);
    const times = all.filter(({ touched }) => touched.length > 0).map(({ recoveryMs }) => recoveryMs ?? Infinity)
      .sort((a, b) => a - b);
    rows.push([
      fault,
      String(all.length),
      String(touched.length),
      String(new Set(touched.filter((id) => lost.has(id))).size),
      String(new Set(touched.filter((id) => doubled.has(id))).size),
      ...[0.5, 0.95, 1].map((share) => seconds(times[Math.max(0, Math.ceil(times.length * share) - 1)])),
    ]);
  }
  return aligned(rows);
}

/** How the jobs of each policy ended, and how many of them show that a promise was broken. */
function policyTable({ byPolicy }: Totals): string {
  const ends = ["succeeded", "failed", "cancelled", "replaced", "refused"];
  const rows = [["policy", "jobs", ...ends, "broken"]];
  for (const [name, { jobs, ended, broken }] of [...byPolicy].sort(([a], [b]) => a < b ? -1 : 1)) {
    rows.push([name, String(jobs), ...ends.map((end) => String(ended[end] ?? 0)), String(broken)]);
  }
  return aligned(rows);
}

function aligned(rows: readonly string[][]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, at) => at === 0 ? cell.padEnd(widths[at]!) : cell.padStart(widths[at]!)).join(" | ")} |`;
  const rule = `| ${
    widths.map((width, at) => at === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`).join(" | ")
  } |`;
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join("\n");
}

function seconds(milliseconds: number | undefined): string {
  if (milliseconds === undefined) return "–";
  return milliseconds === Infinity ? "never" : `${(milliseconds / 1000).toFixed(1)} s`;
}

function tally(names: readonly string[]): string {
  return [...new Set(names)].map((name) => `${name} (${names.filter((each) => each === name).length})`).join(", ");
}
