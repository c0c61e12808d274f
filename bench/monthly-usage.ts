import type { Usage } from "./price-list.ts";

/** What was counted, all of it together: of a fleet in a length of time, or of a number of jobs. */
export interface Tally {
  /** Calls of Edge Functions. */
  readonly functionCalls: number;
  /** Calls of SQL functions through the Data API, which have no price. */
  readonly sqlCalls: number;
  /** Realtime messages as they are charged: one when it is sent, and one for each that receives it. */
  readonly messages: number;
  /** Bytes that left the project: bodies, headers, frames. */
  readonly egressBytes: number;
  /** Bytes that stay in the database. */
  readonly storedBytes: number;
}

export const nothing: Tally = { functionCalls: 0, sqlCalls: 0, messages: 0, egressBytes: 0, storedBytes: 0 };

export function sum(left: Tally, right: Tally): Tally {
  return combine(left, right, (a, b) => a + b);
}

export function difference(left: Tally, right: Tally): Tally {
  return combine(left, right, (a, b) => a - b);
}

export function times(tally: Tally, factor: number): Tally {
  return combine(tally, tally, (a) => a * factor);
}

function combine(left: Tally, right: Tally, of: (a: number, b: number) => number): Tally {
  return {
    functionCalls: of(left.functionCalls, right.functionCalls),
    sqlCalls: of(left.sqlCalls, right.sqlCalls),
    messages: of(left.messages, right.messages),
    egressBytes: of(left.egressBytes, right.egressBytes),
    storedBytes: of(left.storedBytes, right.storedBytes),
  };
}

/** An average month. */
export const secondsPerMonth = 365.25 / 12 * 86_400;

const gigabyte = 1e9;

/** What a month of the tally uses of what is charged; every worker holds one connection. */
export function usageOf(tally: Tally, workers: number): Usage {
  return {
    functionInvocations: Math.max(0, tally.functionCalls),
    realtimeMessages: Math.max(0, tally.messages),
    peakConnections: workers,
    egressGigabytes: Math.max(0, tally.egressBytes) / gigabyte,
    diskGigabytes: Math.max(0, tally.storedBytes) / gigabyte,
  };
}

/** A month of a control plane that is built the obvious way; by reckoning, beside what was measured of ours. */
export interface NaiveDesign {
  readonly name: string;
  month(of: { workers: number; jobs: number; beats: number }): Tally;
}

export const naiveDesigns: readonly NaiveDesign[] = [
  {
    name: "every worker asks an Edge Function for work once a second",
    month: ({ workers, jobs }) => ({ ...nothing, functionCalls: workers * secondsPerMonth + 2 * jobs }),
  },
  {
    name: "heartbeats, claims and results go through Edge Functions",
    month: ({ jobs, beats }) => ({ ...nothing, functionCalls: beats + 3 * jobs }),
  },
  {
    name: "every job is broadcast to all workers, and the first takes it",
    month: ({ workers, jobs }) => ({ ...nothing, functionCalls: 2 * jobs, messages: jobs * (1 + workers) }),
  },
  {
    name: "workers follow the changes of the table of jobs",
    // Queued, assigned, running, done: each change goes to every listener.
    month: ({ workers, jobs }) => ({ ...nothing, functionCalls: jobs, messages: 4 * jobs * workers }),
  },
  {
    name: "all workers see each other's presence, idle or busy",
    month: ({ workers, jobs }) => ({ ...nothing, functionCalls: jobs, messages: 2 * jobs * (1 + workers) }),
  },
  {
    name: "heartbeats are broadcast to a dashboard that is always open",
    month: ({ jobs, beats }) => ({ ...nothing, functionCalls: jobs, messages: 2 * beats + 2 * jobs }),
  },
];
