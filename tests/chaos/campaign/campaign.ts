import { join } from "node:path";
import postgres from "postgres";
import { lastingWithoutArrays } from "../../../local/lasting-sql.ts";
import { startLocalStack } from "../../../local/stack.ts";
import { audit } from "./auditor/audit.ts";
import { gather } from "./auditor/evidence.ts";
import { Recorder } from "./auditor/recorder.ts";
import { aftermaths } from "./auditor/recovery.ts";
import { clearFaults, type Field, type MadeFault, makeFault } from "./faults.ts";
import { Load } from "./load.ts";
import { LiveJobs, stuckAfterMs, untilQuiet } from "./live-jobs.ts";
import { pauseUntil, unlessAborted, withPatience } from "./pauses.ts";
import type { Outcome } from "./report.ts";
import { setUp } from "./scene.ts";
import { briefBelowMinutes, planFaults, scheduleHash } from "./schedule.ts";
import { possibleFaults } from "./stack-control.ts";
import type { CampaignWorker } from "./workers.ts";

export interface CampaignOptions {
  readonly seed: number;
  readonly minutes: number;
  readonly workers: number;
  /** Where journals and logs are kept. */
  readonly folder: string;
  readonly log: (line: string) => void;
  /** Ends the campaign early, leaving nothing behind. */
  readonly signal?: AbortSignal;
}

/** How long a worker may take to come online at the start, on a slow machine. */
const onlineWithinMs = 120_000;
/** Starts everything, runs the schedule, waits for quiet, and judges. */
export async function runCampaign(options: CampaignOptions): Promise<Outcome> {
  const { seed, minutes, folder, log, signal = new AbortController().signal } = options;
  await using cleanup = new AsyncDisposableStack();
  const stackLog = await Deno.open(join(folder, "stack.log"), { append: true, create: true });
  cleanup.defer(() => stackLog.close());
  const encoder = new TextEncoder();
  const stack = await startLocalStack({
    ephemeral: true,
    log: (part, line) => void stackLog.writeSync(encoder.encode(`${new Date().toISOString()} ${part}: ${line}\n`)),
    signal,
  });
  cleanup.defer(() => stack.stop());
  const recorder = cleanup.use(await Recorder.start(stack.adminDbUrl));
  const looking = postgres(stack.adminDbUrl, { ...lastingWithoutArrays, max: 2, onnotice: () => {} });
  cleanup.defer(() => looking.end({ timeout: 1 }));

  const scene = await setUp({ seed, workers: options.workers, folder, signal }, stack, looking, cleanup);
  const { workers, apps, liar, outside, operator, tenants, roster } = scene;
  const schedule = planFaults({
    ...{ seed, minutes, faults: possibleFaults },
    workers: workers.map(({ name }) => name),
    apps: apps.map(({ settings }) => settings.name),
  });
  const hash = scheduleHash(schedule);
  log(`seed ${seed}, ${schedule.length} faults, schedule ${hash}, ${workers.length} workers, files in ${folder}`);
  await Deno.writeTextFile(join(folder, "schedule.json"), JSON.stringify(schedule, null, 2));
  for (const worker of workers) worker.start();
  for (const worker of workers) {
    if (!await worker.until(onlineWithinMs, () => worker.isOnline)) throw new Error(`${worker.name} never came online`);
  }
  signal.throwIfAborted();

  const live = new LiveJobs(recorder);
  const noMoreJobs = new AbortController();
  const slots = (tenant: string) =>
    workers.filter(({ settings }) => settings.tenant === tenant).reduce(
      (sum, { settings }) => sum + settings.kit.slots,
      0,
    );
  const loads: Load[] = tenants.map(({ tenant, tenantId }, index) =>
    new Load({
      ...{ seed: seed + index + 1, tenant },
      apps: apps.filter(({ settings }) => settings.tenant === tenant),
      slots: slots(tenant),
      endedCount: () => live.endedCount(tenantId),
      foreignJob: () => loads[1 - index]!.jobIds.at(-1),
    })
  );
  scene.tellLiar(() => loads[0]!.jobIds, () => loads[1]!.jobIds);
  await liar.enroll();
  await outside.setUp();

  const field: Field = {
    ...{ stack, workers, apps, liar, signal },
    // Longer than a wave of the load, unless time is short.
    stateWithinMs: minutes < briefBelowMinutes ? 8_000 : 22_000,
    heldBy: async ({ workerId = null }) => {
      // While Postgres is down nobody can tell.
      const asked = looking<{ attempt: string }[]>`
        select id || '/' || attempts as attempt from muster.jobs
        where worker_id = ${workerId} and status in ('assigned', 'running')`.catch(() => []);
      const rows = await withPatience(asked, 2_000, signal) ?? [];
      return rows.map(({ attempt }) => attempt);
    },
  };
  const beganAt = performance.now();
  const running = [...loads, outside, operator].map((each) => each.run(AbortSignal.any([noMoreJobs.signal, signal])));
  const watching = reviveWorkers(workers, noMoreJobs.signal);
  const made: MadeFault[] = [];
  const faults = schedule.map(async (planned) => {
    await pauseUntil(beganAt + planned.atMs, signal);
    if (signal.aborted) return;
    log(
      `${
        (planned.atMs / 1000).toFixed(1).padStart(6)
      } s  ${planned.fault} (${planned.target}, ${planned.durationMs} ms)`,
    );
    made.push(await makeFault(planned, field));
  });
  await unlessAborted(Promise.all(faults), signal);
  await pauseUntil(beganAt + minutes * 60_000, signal);
  signal.throwIfAborted();

  const seconds = (performance.now() - beganAt) / 1000;
  noMoreJobs.abort();
  log("faults are over: waiting until no job is open");
  const quietFrom = performance.now();
  await watching;
  clearFaults(field);
  await Promise.all(running);
  const answered = Promise.all(loads.map((load) => load.settled()));
  await untilQuiet(live, recorder, workers, signal, log);
  // The auditor tells which answers are missing, so that the campaign must not wait for them for ever.
  await withPatience(answered, stuckAfterMs, signal);
  // By now some jobs have failed for good, whatever the faults were.
  await Promise.all(loads.map((load) => load.replay()));
  await untilQuiet(live, recorder, workers, signal, log);
  const quietSeconds = (performance.now() - quietFrom) / 1000;

  await Promise.all(workers.map((worker) => worker.stop(30_000)));
  // Its connection may have broken with the last fault, and is another after that.
  await recorder.catchUp().catch(() => recorder.catchUp());
  const rosterNow = roster();
  await Deno.writeTextFile(join(folder, "roster.json"), JSON.stringify(rosterNow, null, 2));
  await Deno.writeTextFile(join(folder, "made-faults.json"), JSON.stringify(made, null, 2));
  await writeHistory(join(folder, "history.jsonl"), recorder);
  const { violations, totals } = audit(await gather(stack.adminDbUrl, rosterNow, recorder.commits));
  const idOf = new Map(rosterNow.workers.map(({ name, workerId }) => [name, workerId]));
  return {
    ...{ seed, scheduleHash: hash, seconds, workerCount: workers.length, violations, totals, quietSeconds },
    aftermaths: aftermaths(
      recorder.commits,
      made.map(({ fault, struckAtMs, workers }) => ({
        ...{ fault, struckAtMs },
        workerIds: workers?.map((name) => idOf.get(name) ?? "") ?? null,
      })),
    ),
    staleResults: workers.reduce((sum, { staleResults }) => sum + staleResults, 0),
    unexpectedEnds: workers.flatMap(({ unexpectedEnds }) => unexpectedEnds),
    outOfState: made.filter(({ inState }) => !inState).map(({ fault }) => fault),
  };
}

/** What the auditor judged, for people who look into a violation. */
async function writeHistory(path: string, { commits }: Recorder): Promise<void> {
  const lines = commits.map(({ lsn, atMs, changes }) => JSON.stringify({ lsn: String(lsn), atMs, changes }));
  await Deno.writeTextFile(path, `${lines.join("\n")}\n`);
}

/** Starts workers again that ended by themselves, as a service manager does; what they said is kept as evidence. */
async function reviveWorkers(workers: readonly CampaignWorker[], signal: AbortSignal): Promise<void> {
  await Promise.all(workers.map(async (worker) => {
    for (let known = 0; await worker.endedUnexpectedly(known, signal); known = worker.unexpectedEnds.length) {
      worker.start();
    }
  }));
}
