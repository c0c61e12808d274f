import { rename } from "node:fs/promises";
import type { LocalStack } from "../../../local/stack.ts";
import { sleep } from "../../../shared/sleep.ts";
import type { App } from "./apps.ts";
import type { LyingWorker } from "./lying-worker.ts";
import type { Weather } from "./proxy.ts";
import type { FaultKind, PlannedFault } from "./schedule.ts";
import { strikeStack } from "./stack-control.ts";
import type { CampaignWorker } from "./workers.ts";

/** A fault that was made. */
export interface MadeFault extends PlannedFault {
  /** When it struck, in milliseconds since the epoch: some wait until their target is in the right state. */
  readonly struckAtMs: number;
  readonly endedAtMs: number;
  /** Workers that were hit; null for all of them. */
  readonly workers: readonly string[] | null;
  /** The state it was meant for came up in time. */
  readonly inState: boolean;
}

export interface Field {
  readonly stack: LocalStack;
  readonly workers: readonly CampaignWorker[];
  readonly apps: readonly App[];
  readonly liar: LyingWorker;
  /** The attempts that the control plane counts as held by this worker, as `<job>/<attempt>`. */
  readonly heldBy: (worker: CampaignWorker) => Promise<readonly string[]>;
  /** How long a fault waits for the state it is meant for. */
  readonly stateWithinMs: number;
  /** Fires when what is still under way has to be undone. */
  readonly signal: AbortSignal;
}

/** How long a fault waits until a worker that was started a moment ago is at work, on a slow machine. */
const onlineWithinMs = 60_000;
/** A job that has run for so long goes on for a while: there is time to act before it ends. */
const longMs = 120;

/** Makes a fault, waits as long as it lasts, and undoes it. */
export function makeFault(planned: PlannedFault, field: Field): Promise<MadeFault> {
  const worker = field.workers.find(({ name }) => name === planned.target);
  return worker === undefined ? strike(planned, field) : worker.hit(() => strike(planned, field, worker));
}

async function strike(planned: PlannedFault, field: Field, worker?: CampaignWorker): Promise<MadeFault> {
  let struckAtMs = Date.now();
  let inState = true;
  const app = field.apps.find(({ settings }) => settings.name === planned.target);
  const struck = () => struckAtMs = Date.now();
  const lasts = () => sleep(planned.durationMs, field.signal);
  const kind: FaultKind = planned.fault;

  if (kind.startsWith("lie: ")) {
    await field.liar.lie(kind);
  } else if (kind === "all workers cut off") {
    for (const { settings } of field.workers) settings.proxy.setOutage(true);
    await lasts();
    for (const { settings } of field.workers) settings.proxy.setOutage(false);
  } else if (kind in weathers) {
    const proxy = (worker ?? app)!.settings.proxy;
    proxy.setWeather(weathers[kind]!);
    await lasts();
    proxy.setWeather({ kind: "fair" });
  } else if (worker !== undefined) {
    inState = await strikeWorker(kind, worker, field, struck, lasts);
  } else {
    const undo = await strikeStack(field.stack, kind);
    await lasts();
    await undo();
  }
  const isShared = planned.target === "stack" || planned.target === "workers";
  const workers = worker ? [worker.name] : isShared ? null : [];
  return { ...planned, struckAtMs, endedAtMs: Date.now(), workers, inState };
}

const weathers: Partial<Record<FaultKind, Weather>> = {
  "network cut": { kind: "cut" },
  "network stalled": { kind: "stall" },
  "network half open": { kind: "half-open" },
  "network slow": { kind: "slow", delayMs: 300, bytesPerSecond: 20_000 },
  "network garbled": { kind: "garble", chance: 0.3 },
};

/** Answers whether the worker was in the state that the fault is meant for. */
async function strikeWorker(
  kind: FaultKind,
  worker: CampaignWorker,
  { heldBy, stateWithinMs }: Field,
  struck: () => void,
  lasts: () => Promise<void>,
): Promise<boolean> {
  const { proxy } = worker.settings;
  const killAndStart = async () => {
    struck();
    await worker.kill();
    proxy.setWeather({ kind: "fair" });
    await lasts();
    worker.start();
  };
  await worker.until(onlineWithinMs, () => worker.isOnline);
  struck();
  switch (kind) {
    case "kill idle worker": {
      const isIdle = await worker.until(stateWithinMs, async () => (await heldBy(worker)).length === 0);
      await killAndStart();
      return isIdle;
    }
    case "kill worker that was just assigned": {
      // Nothing it is answered arrives any more: what it gets now it does not know of.
      proxy.setWeather({ kind: "half-open" });
      const isAssigned = await worker.until(
        stateWithinMs,
        async () => (await heldBy(worker)).some((attempt) => !worker.hasStarted(attempt)),
      );
      await killAndStart();
      return isAssigned;
    }
    case "kill running worker": {
      const isRunning = await worker.until(stateWithinMs, () => worker.hasRunFor(0));
      await killAndStart();
      return isRunning;
    }
    case "kill worker with undelivered result": {
      await worker.until(stateWithinMs, () => worker.hasRunFor(longMs));
      proxy.setWeather({ kind: "stall" });
      const ended = await worker.endCount();
      const hasResult = await worker.until(stateWithinMs, async () => await worker.endCount() > ended);
      await killAndStart();
      return hasResult;
    }
    case "kill worker with spooled result": {
      await worker.until(stateWithinMs, () => worker.hasRunFor(longMs));
      proxy.setWeather({ kind: "stall" });
      const isSpooled = await worker.until(stateWithinMs, () => worker.hasSpooled());
      await killAndStart();
      return isSpooled;
    }
    case "suspend worker briefly":
    case "suspend worker past its lease":
      worker.suspend();
      await lasts();
      worker.resume();
      return true;
    case "stop worker":
      await worker.stop(20_000);
      await lasts();
      worker.start();
      return true;
    case "clock ten minutes ahead":
    case "clock ten minutes behind":
      await worker.setClock(kind === "clock ten minutes ahead" ? 600_000 : -600_000);
      await lasts();
      await worker.setClock(0);
      return true;
    case "disk full": {
      // A file in the place of the folder: nothing can be written there, for no user. The results have to wait.
      await Deno.mkdir(worker.spool, { recursive: true });
      await rename(worker.spool, `${worker.spool}.aside`);
      await Deno.writeTextFile(worker.spool, "");
      proxy.setWeather({ kind: "stall" });
      await lasts();
      proxy.setWeather({ kind: "fair" });
      await Deno.remove(worker.spool);
      await rename(`${worker.spool}.aside`, worker.spool);
      return true;
    }
    default:
      throw new Error(`Cannot make the fault "${kind}" on a worker`);
  }
}

/** Undoes whatever may be left of faults, so that the end is quiet. */
export function clearFaults({ workers, apps }: Field): void {
  for (const { settings } of [...workers, ...apps]) settings.proxy.setWeather({ kind: "fair" });
  for (const worker of workers) {
    worker.resume();
    if (!worker.isUp) worker.start();
  }
}
