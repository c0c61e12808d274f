import { styleText } from "node:util";
import type { Job } from "../worker/index.ts";

/** A line of the closing table: one job, or a batch of the same kind. */
export type Row = { label: string; jobs: Job[] };

const columns = ["job", "type", "worker", "attempts", "queued→started", "started→finished"];

/** Seconds or milliseconds, as a person would say them. */
export function duration(ms: number): string {
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** The value below which the given share of the values lies; the nearest of them. */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** From the last time it was queued to its start, in milliseconds. */
export function waited(job: Job): number {
  return Date.parse(job.startedAt!) - Date.parse(job.queuedAt!);
}

/** From the start of the winning attempt to its end, in milliseconds. */
export function ran(job: Job): number {
  return Date.parse(job.finishedAt!) - Date.parse(job.startedAt!);
}

export function table(rows: Row[]): string {
  const cells = rows.map(({ label, jobs }) => [
    label,
    jobs[0]!.type,
    workers(jobs),
    String(jobs.reduce((sum, job) => sum + job.attempts, 0)),
    span(jobs.map(waited)),
    span(jobs.map(ran)),
  ]);
  const widths = columns.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i]!.length)));
  const line = (row: string[]) => row.map((cell, i) => cell.padEnd(widths[i]!)).join("  ").trimEnd();
  return [styleText("bold", line(columns)), line(widths.map((width) => "─".repeat(width))), ...cells.map(line)].join(
    "\n",
  );
}

export function latencies(jobs: Job[]): string {
  return ([["queued→started", waited], ["started→finished", ran]] as const)
    .map(([name, measure]) => {
      const values = jobs.map(measure);
      return `${name.padEnd(17)} p50 ${duration(percentile(values, 0.5)).padStart(8)}   p95 ${
        duration(percentile(values, 0.95)).padStart(8)
      }`;
    })
    .join("\n");
}

function workers(jobs: Job[]): string {
  const counts = Map.groupBy(jobs, (job) => job.workerName ?? "?");
  if (counts.size === 1) return [...counts.keys()][0]!;
  return [...counts].sort().map(([name, of]) => `${name} ${of.length}`).join(", ");
}

function span(values: number[]): string {
  if (values.length === 1) return duration(values[0]!);
  return `${duration(percentile(values, 0.5))} (p50)`;
}
