import { createHash } from "node:crypto";
import { Random } from "../../support/random.ts";

/** Where a fault strikes: one worker, one app's network, every worker's network, or a part of the stack. */
export type TargetKind = "worker" | "caller" | "workers" | "stack" | "liar";

interface Kind {
  readonly target: TargetKind;
  /** How long it lasts, in seconds: in a long run, and in the short form. */
  readonly seconds: readonly [number, number];
  readonly briefSeconds: readonly [number, number];
}

const moment = { seconds: [0, 0], briefSeconds: [0, 0] } as const;

/** Every kind of fault. */
export const faultKinds = {
  // A worker is killed in every state of a job, and started again with its identity after so long.
  "kill idle worker": { target: "worker", seconds: [0, 20], briefSeconds: [0, 2] },
  "kill worker that was just assigned": { target: "worker", seconds: [0, 20], briefSeconds: [0, 2] },
  "kill running worker": { target: "worker", seconds: [0, 30], briefSeconds: [0, 4] },
  "kill worker with undelivered result": { target: "worker", seconds: [0, 20], briefSeconds: [0, 2] },
  "kill worker with spooled result": { target: "worker", seconds: [0, 20], briefSeconds: [0, 2] },
  // Stopped and continued: shorter and longer than the lease of a busy worker, 15 s.
  "suspend worker briefly": { target: "worker", seconds: [1, 10], briefSeconds: [1, 5] },
  "suspend worker past its lease": { target: "worker", seconds: [18, 40], briefSeconds: [17, 19] },
  "stop worker": { target: "worker", seconds: [0, 5], briefSeconds: [0, 1] },
  "clock ten minutes ahead": { target: "worker", seconds: [20, 60], briefSeconds: [8, 12] },
  "clock ten minutes behind": { target: "worker", seconds: [20, 60], briefSeconds: [8, 12] },
  "disk full": { target: "worker", seconds: [15, 40], briefSeconds: [8, 12] },
  // The network of a worker or an app.
  "network cut": { target: "caller", seconds: [2, 30], briefSeconds: [2, 6] },
  "network stalled": { target: "caller", seconds: [2, 30], briefSeconds: [2, 8] },
  "network half open": { target: "caller", seconds: [2, 30], briefSeconds: [2, 8] },
  "network slow": { target: "caller", seconds: [5, 30], briefSeconds: [4, 8] },
  "network garbled": { target: "caller", seconds: [2, 15], briefSeconds: [2, 5] },
  "all workers cut off": { target: "workers", seconds: [60, 60], briefSeconds: [8, 8] },
  // Parts of the stack.
  "kill functions": { target: "stack", ...moment },
  "kill gateway": { target: "stack", ...moment },
  "kill Realtime": { target: "stack", ...moment },
  "kill Data API": { target: "stack", ...moment },
  "restart Postgres, immediate mode": { target: "stack", ...moment },
  "cron paused": { target: "stack", seconds: [12, 30], briefSeconds: [11, 13] },
  "Realtime off": { target: "stack", seconds: [5, 30], briefSeconds: [4, 6] },
  "messages dropped": { target: "stack", seconds: [5, 20], briefSeconds: [4, 6] },
  "messages doubled": { target: "stack", seconds: [5, 20], briefSeconds: [4, 6] },
  "messages delayed": { target: "stack", seconds: [5, 20], briefSeconds: [4, 6] },
  "messages reordered": { target: "stack", seconds: [5, 20], briefSeconds: [4, 6] },
  "partition missing": { target: "stack", seconds: [5, 20], briefSeconds: [4, 6] },
  "rate exceeded": { target: "stack", seconds: [3, 10], briefSeconds: [2, 3] },
  "permissions frozen": { target: "stack", seconds: [10, 40], briefSeconds: [4, 6] },
  // A worker with a token of its own that lies.
  "lie: complete what others hold": { target: "liar", ...moment },
  "lie: flood of progress": { target: "liar", ...moment },
  "lie: claim more than its slots": { target: "liar", ...moment },
  "lie: repeat old completions": { target: "liar", ...moment },
  "lie: reach into another tenant": { target: "liar", ...moment },
} as const satisfies Record<string, Kind>;
export type FaultKind = keyof typeof faultKinds;
export const allFaults = Object.keys(faultKinds) as FaultKind[];

/** One fault to come. */
export interface PlannedFault {
  /** Milliseconds since the beginning of the run. */
  readonly atMs: number;
  readonly fault: FaultKind;
  /** A worker's or an app's name; otherwise what the kind says. */
  readonly target: string;
  readonly durationMs: number;
}

export interface ScheduleOptions {
  readonly seed: number;
  readonly minutes: number;
  /** Names of what can be hit alone. */
  readonly workers: readonly string[];
  readonly apps: readonly string[];
  /** Kinds to choose among; default all. */
  readonly faults?: readonly FaultKind[];
}

/** Faults take less time each when the run is shorter than this. */
export const briefBelowMinutes = 2;

/**
 * Everything that will go wrong, in order, made before anything starts: the same options give the same list. Three
 * lanes run beside each other: single workers and apps, the stack with all workers, and the lying worker. Within a lane
 * every kind comes once before any comes again. A target has one fault at a time.
 */
export function planFaults(options: ScheduleOptions): PlannedFault[] {
  const { seed, minutes, workers, apps } = options;
  const faults = options.faults ?? allFaults;
  const isBrief = minutes < briefBelowMinutes;
  const totalMs = minutes * 60_000;
  const random = new Random(seed);
  const planned: PlannedFault[] = [];
  const of = (...targets: TargetKind[]) => faults.filter((name) => targets.includes(faultKinds[name].target));

  function duration(fault: FaultKind): number {
    const [low, high] = isBrief ? faultKinds[fault].briefSeconds : faultKinds[fault].seconds;
    return random.between(low * 1000, high * 1000);
  }

  const busyUntil = new Map<string, number>();
  const single = deck(random, of("worker", "caller"));
  for (let atMs = 500; atMs < totalMs && !single.isEmpty; atMs += random.between(...singlePauseMs(isBrief))) {
    const fault = single.next();
    const durationMs = duration(fault);
    const callers = faultKinds[fault].target === "caller" && random.chance(0.2) ? apps : workers;
    const free = callers.filter((name) => (busyUntil.get(name) ?? -Infinity) <= atMs);
    if (free.length === 0) {
      single.putBack(fault);
      continue;
    }
    const target = random.pick(free);
    // What was hit needs a moment to be itself again.
    busyUntil.set(target, atMs + durationMs + 5_000);
    planned.push({ atMs, fault, target, durationMs });
  }

  const shared = deck(random, of("stack", "workers"));
  for (let atMs = 1_500; atMs < totalMs && !shared.isEmpty;) {
    const fault = shared.next();
    const durationMs = duration(fault);
    planned.push({ atMs, fault, target: faultKinds[fault].target, durationMs });
    // The next one comes while this lasts, so that some strike together.
    atMs += isBrief
      ? Math.round(durationMs / 3) + random.between(1_000, 1_500)
      : Math.round(durationMs / 2) + random.between(3_000, 7_000);
  }

  const lies = deck(random, of("liar"));
  for (let atMs = 3_000; atMs < totalMs && !lies.isEmpty; atMs += random.between(2_000, isBrief ? 4_000 : 8_000)) {
    planned.push({ atMs, fault: lies.next(), target: "liar", durationMs: 0 });
  }
  return planned.sort((a, b) => a.atMs - b.atMs);
}

/** Says whether two schedules are the same. */
export function scheduleHash(planned: readonly PlannedFault[]): string {
  return createHash("sha256").update(JSON.stringify(planned)).digest("hex").slice(0, 16);
}

function singlePauseMs(isBrief: boolean): [number, number] {
  return isBrief ? [1_200, 2_000] : [1_500, 4_000];
}

interface Deck {
  readonly isEmpty: boolean;
  next(): FaultKind;
  putBack(fault: FaultKind): void;
}

/** Deals every kind in random order, then all again in another. */
function deck(random: Random, kinds: readonly FaultKind[]): Deck {
  let left: FaultKind[] = [];
  return {
    isEmpty: kinds.length === 0,
    next() {
      if (left.length === 0) left = random.some(kinds, 1);
      return left.pop()!;
    },
    putBack: (fault) => void left.push(fault),
  };
}
