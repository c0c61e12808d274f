import { figureOf } from "../statistics.ts";
import type { Results } from "./outcome.ts";
import { barChart, type Chart, lineChart } from "./plot.ts";

const charts: Record<string, Chart & { kind: "lines" | "bars" }> = {
  drain: { kind: "bars", title: "Drain of no-op jobs", xLabel: "", yLabel: "jobs a second" },
  submit: { kind: "bars", title: "Submit, 1,000 a call", xLabel: "", yLabel: "jobs a second" },
  latency: {
    ...{ kind: "lines", title: "From handing in a job to the start of its handler, one at a time" },
    ...{ xLabel: "milliseconds", yLabel: "% of the samples", logarithmic: { x: true } },
  },
  claim: {
    ...{ kind: "lines", title: "Claim of one job, by the length of the queue" },
    ...{ xLabel: "matching jobs queued", yLabel: "milliseconds, median", logarithmic: { x: true } },
  },
  growth: {
    ...{ kind: "lines", title: "Drain, by the length of the queue" },
    ...{ xLabel: "matching jobs queued", yLabel: "jobs a second", logarithmic: { x: true } },
  },
  others: {
    ...{ kind: "lines", title: "Drain, with jobs in the table that the worker cannot do" },
    ...{ xLabel: "jobs of others; 1 stands for none", yLabel: "jobs a second", logarithmic: { x: true, y: true } },
  },
  cycle: {
    ...{ kind: "lines", title: "Submit and drain without a pause" },
    ...{ xLabel: "jobs cycled", yLabel: "jobs a second" },
  },
};

/** The pictures of a run, by file name: only those that it has something for. */
export function drawPlots({ series }: Results): Map<string, string> {
  const files = new Map<string, string>();
  for (const [plot, chart] of Object.entries(charts)) {
    const of = series.filter((each) => each.plot === plot);
    if (of.length === 0) continue;
    const bars = of.map(({ name, points }) => {
      const { median, min, max } = figureOf(points.map(([, y]) => y));
      return { name, value: median, min, max };
    });
    files.set(`${plot}.svg`, chart.kind === "bars" ? barChart(chart, bars) : lineChart(chart, of));
  }
  return files;
}
