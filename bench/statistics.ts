/** A median with the range of what it was taken from. */
export type Figure = { median: number; min: number; max: number };

/** The value below which the given share of the values lies; the nearest of them. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)]!;
}

/** The value in the middle; the mean of the two there for an even number of them. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

export function figureOf(values: readonly number[]): Figure {
  if (values.length === 0) throw new Error("Cannot sum up no values");
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

/**
 * How many times the one is of the other: the ratio of the medians, with the range of the ratios round by round, of
 * which both were measured one right after the other.
 */
export function ratioOf(values: readonly number[], of: readonly number[]): Figure {
  const rounds = values.slice(0, of.length).map((value, round) => value / of[round]!);
  return { ...figureOf(rounds), median: median(values) / median(of) };
}

/** How long it took at most, for each hundredth of the values. */
export function distributionOf(values: readonly number[]): [value: number, share: number][] {
  return Array.from({ length: 99 }, (_, n) => [percentile(values, (n + 1) / 100), n + 1]);
}

/** p50, p95 and p99 in milliseconds, and p50 and p95 as multiples of a yardstick's p50. */
export function row(name: string, values: readonly number[], yardstick: number): string {
  const at = (share: number) => percentile(values, share);
  const cells = [at(0.5), at(0.95), at(0.99)].map((ms) => ms.toFixed(1).padStart(9));
  const ratios = [at(0.5), at(0.95)].map((ms) => `${(ms / yardstick).toFixed(0)}×`.padStart(8));
  return `| ${name.padEnd(46)} | ${cells.join(" | ")} | ${ratios.join(" | ")} |`;
}

export const heading = [
  `| ${"milliseconds".padEnd(46)} | ${["p50", "p95", "p99"].map((h) => h.padStart(9)).join(" | ")} | ${
    ["p50 ÷ y", "p95 ÷ y"].map((h) => h.padStart(8)).join(" | ")
  } |`,
  `| ${"-".repeat(46)} | ${Array(3).fill("-".repeat(8) + ":").join(" | ")} | ${
    Array(2).fill("-".repeat(7) + ":").join(" | ")
  } |`,
].join("\n");
