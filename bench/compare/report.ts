import type { Figure } from "../statistics.ts";
import { isMet, type Outcome, type Results, type Unit } from "./outcome.ts";
import type { Circumstances, PartRun } from "./run.ts";

const begin = "<!-- results: begin -->";
const end = "<!-- results: end -->";

/** What of a run there is. */
export type MeasuredPart = { name: string; run: PartRun | undefined };

/** All tables of a run, as Markdown. */
export function reportOf(results: Results, about: Circumstances, parts: readonly MeasuredPart[]): string {
  return [
    missingOf(parts),
    `Measured on ${about.machine}, with the sizes of a ${about.mode} run: medians of ${about.sizes.runs} rounds, with their ` +
    `ranges. PostgreSQL ${about.postgres} with ${
      Object.entries(about.settings).map(([name, value]) => `\`${name}=${value}\``).join(", ")
    }. ${Object.entries(about.peers).map(([name, version]) => `${name} ${version}`).join(", ")}.`,
    aimsTable(results.outcomes),
    notesOf(results.outcomes),
    table(
      ["floor: the least a queue in Postgres does", "jobs a second", "by"],
      results.floor.map(({ name, figure, by }) => [name, format(figure, "per second"), by]),
    ),
    table(
      ["peers, with jobs in the table that their worker cannot do", "those jobs", "drain", "add → handler start, p50"],
      results.peersGrowth.map(({ name, others, rate, latency }) => [
        ...[name, digits(others), format(rate, "per second"), format(latency, "ms")],
      ]),
    ),
    table(
      ["CPU, µs a job", "Postgres", "client"],
      results.costs.map(({ name, serverMicroseconds, clientMicroseconds }) => [
        ...[name, digits(serverMicroseconds), digits(clientMicroseconds)],
      ]),
    ),
    table(
      ["part", "measured on", "commit", "minutes", "load before", "and after"],
      parts.flatMap(({ name, run }) =>
        run === undefined ? [] : [[
          ...[name, run.date, run.commit, run.minutes.toFixed(1)],
          ...run.load.map((load) => load.toFixed(1)),
        ]]
      ),
    ),
  ].filter((part) => part !== "").join("\n\n");
}

function missingOf(parts: readonly MeasuredPart[]): string {
  const missing = parts.filter(({ run }) => run?.end !== "complete").map(({ name, run }) =>
    `${name} ${run === undefined ? "was not measured" : run.end ?? "was cut off"}`
  );
  return missing.length === 0 ? "" : `**Not all of it is here**: ${missing.join("; ")}.`;
}

function aimsTable(outcomes: readonly Outcome[]): string {
  return table(
    ["measure", "aim", "Muster", "beside", "ratio", ""],
    outcomes.map((outcome) => {
      const { measure, aim, figure, beside, ratio, unit } = outcome;
      const met = isMet(outcome);
      return [
        measure,
        aim.text,
        figure ? format(figure, unit) : "–",
        beside ? `${beside.name}: ${format(beside.figure, unit)}` : "",
        ratio ? `${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)} to ${ratio.max.toFixed(2)})` : "",
        met === null ? "not measured" : met ? "met" : "**missed**",
      ];
    }),
  );
}

function notesOf(outcomes: readonly Outcome[]): string {
  return outcomes.filter(({ note }) => note).map(({ measure, note }) => `- ${measure}: ${note}`).join("\n");
}

/** A table as `deno fmt` would write it. */
export function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return "";
  const widths = heads.map((head, column) =>
    Math.max(3, ...[head, ...rows.map((row) => row[column]!)].map((cell) => cell.length))
  );
  const line = (cells: readonly string[]) => `| ${cells.map((cell, n) => cell.padEnd(widths[n]!)).join(" | ")} |`;
  return [line(heads), `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`, ...rows.map(line)].join("\n");
}

const units: Record<Unit, string> = {
  "per second": "/s",
  "ms": " ms",
  "bytes": " bytes",
  "messages": "",
  "µs": " µs",
};

/** The median with its unit, and the range in parentheses. */
export function format({ median, min, max }: Figure, unit: Unit): string {
  return `${digits(median)}${units[unit]} (${digits(min)} to ${digits(max)})`;
}

/** Three digits that count, or all before the point, in groups. */
export function digits(value: number): string {
  if (value === 0) return "0";
  const places = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  const [whole, rest] = value.toFixed(Math.min(places, 3)).split(".") as [string, string | undefined];
  return whole.replace(/\B(?=(\d{3})+$)/g, ",") + (rest === undefined ? "" : `.${rest}`);
}

/** The page with the text between its two marks replaced. */
export function withResults(page: string, text: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`Cannot write the results: the page lacks the marks ${begin} and ${end}`);
  return `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`;
}
