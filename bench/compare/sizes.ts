import { UsageError } from "../../shared/usage-error.ts";

/** How much of everything is measured. */
export type Sizes = {
  /** Of each measurement, one after another in turn with what it is measured beside. */
  runs: number;
  /** Jobs of one run of a drain in batches, and one by one. */
  drained: number;
  single: number;
  /** Through the functions and the Data API of a local stack. */
  throughDoors: number;
  samples: number;
  /** Matching jobs in the queue; what follows is held against the first. */
  backlogs: readonly number[];
  /** Jobs that only others can do, spread over so many requirement sets. */
  others: number;
  requirementSets: readonly number[];
  finished: number;
  /** What is drained and claimed at each point of growth. */
  growthDrained: number;
  growthClaims: number;
  /** Jobs beside which the peers drain so many that they can do; a tenth of that one by one. */
  peerOthers: readonly number[];
  peerDrained: number;
  /** One at a time, to an idle peer. */
  peerSamples: number;
  cycled: number;
  tickWorkers: number;
  tickJobs: number;
  explainWorkers: number;
};

export const fullSizes: Sizes = {
  runs: 5,
  drained: 50_000,
  single: 10_000,
  throughDoors: 20_000,
  samples: 200,
  backlogs: [10_000, 100_000, 1_000_000],
  others: 1_000_000,
  requirementSets: [1, 100, 10_000],
  finished: 10_000_000,
  growthDrained: 8_000,
  growthClaims: 200,
  peerOthers: [0, 30_000, 300_000],
  peerDrained: 2_000,
  peerSamples: 50,
  cycled: 1_000_000,
  tickWorkers: 10_000,
  tickJobs: 1_000_000,
  explainWorkers: 1_000,
};

/** `name=value` changes one: a list is separated by commas. */
export function withSizes(sizes: Sizes, changes: readonly string[]): Sizes {
  const changed: Record<string, unknown> = { ...sizes };
  for (const change of changes) {
    const [name, value] = change.split("=") as [string, string | undefined];
    const numbers = value?.split(",").map(Number) ?? [];
    if (!(name in sizes) || numbers.length === 0 || numbers.some((number) => !(number > 0))) {
      throw new UsageError(`Cannot use --size ${change}: it is name=number, of ${Object.keys(sizes).join(", ")}`);
    }
    changed[name] = Array.isArray(changed[name]) ? numbers : numbers[0];
  }
  return changed as Sizes;
}

/** Shows that everything works, and the order of the figures. */
export const quickSizes: Sizes = {
  runs: 5,
  drained: 5_000,
  single: 500,
  throughDoors: 1_000,
  samples: 20,
  backlogs: [2_000, 10_000, 50_000],
  others: 50_000,
  requirementSets: [1, 100, 1_000],
  finished: 100_000,
  growthDrained: 1_000,
  growthClaims: 20,
  peerOthers: [0, 10_000],
  peerDrained: 500,
  peerSamples: 10,
  cycled: 20_000,
  tickWorkers: 1_000,
  tickJobs: 10_000,
  explainWorkers: 100,
};
