import { join } from "node:path";
import postgres from "postgres";
import { type LocalStack, startLocalStack } from "../../../local/stack.ts";
import { type AdminDb, createAdminDb } from "../../../shared/db/admin.ts";
import { createClients, createSqlCall } from "../../../shared/db/sql-call.ts";
import { Random } from "../../support/random.ts";
import { App, Load } from "./apps.ts";
import { audit } from "./auditor/audit.ts";
import { gather, type Roster } from "./auditor/evidence.ts";
import { isTerminal, type JobState, replay } from "./auditor/history.ts";
import { aftermaths } from "./auditor/recovery.ts";
import { Recorder } from "./auditor/recorder.ts";
import { clearFaults, type Field, type MadeFault, makeFault } from "./faults.ts";
import { LyingWorker } from "./lying-worker.ts";
import { Proxy } from "./proxy.ts";
import type { Outcome } from "./report.ts";
import { planFaults, scheduleHash } from "./schedule.ts";
import { possibleFaults } from "./stack-control.ts";
import { CampaignWorker } from "./workers.ts";

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

/** The words that mark all data of a tenant. The apps of the first are hit and lied to; the second stands by. */
const tenantNames = ["tenant-red", "tenant-blue"] as const;
/** How long a worker may take to come online at the start, on a slow machine. */
const onlineWithinMs = 120_000;
/** The end may take as long as something still changes; so long without a change means that jobs are stuck. */
const stuckAfterMs = 120_000;

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
  const looking = postgres(stack.adminDbUrl, { max: 2, onnotice: () => {} });
  cleanup.defer(() => looking.end({ timeout: 1 }));

  const scene = await setUp(options, stack, cleanup);
  const { workers, apps, liar, tenants, roster } = scene;
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
    workers.filter(({ settings }) => settings.tenant === tenant).reduce((sum, { settings }) => sum + settings.slots, 0);
  const loads: Load[] = tenants.map(({ tenant, tenantId }, index) =>
    new Load({
      ...{ seed: seed + index + 1, tenant, until: AbortSignal.any([noMoreJobs.signal, signal]) },
      apps: apps.filter(({ settings }) => settings.tenant === tenant),
      slots: slots(tenant),
      endedCount: () => live.endedCount(tenantId),
      foreignJob: () => loads[1 - index]!.jobIds.at(-1),
    })
  );
  scene.tellLiar(() => loads[0]!.jobIds, () => loads[1]!.jobIds);
  await liar.enroll();

  const field: Field = {
    ...{ stack, workers, apps, liar, signal },
    heldBy: async ({ workerId = null }) => {
      // While Postgres is down nobody can tell.
      const asked = looking<{ attempt: string }[]>`
        select id || '/' || attempts as attempt from muster.jobs
        where worker_id = ${workerId} and status in ('assigned', 'running')`.catch(() => []);
      const rows = await Promise.race([asked, pauseUntil(performance.now() + 2_000, signal).then(() => [])]);
      return rows.map(({ attempt }) => attempt);
    },
  };
  const beganAt = performance.now();
  const running = loads.map((load) => load.run());
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
  await withPatience(answered, signal);
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

interface Scene {
  readonly tenants: Roster["tenants"];
  readonly workers: readonly CampaignWorker[];
  readonly apps: readonly App[];
  readonly liar: LyingWorker;
  readonly tellLiar: (own: () => readonly string[], foreign: () => readonly string[]) => void;
  readonly roster: () => Roster;
}

/** Makes tenants, apps, workers and the liar, each with a folder and a way to the project of its own. */
async function setUp(
  { seed, workers: count, folder, signal = new AbortController().signal }: CampaignOptions,
  stack: LocalStack,
  cleanup: AsyncDisposableStack,
): Promise<Scene> {
  const admin: AdminDb = createAdminDb(createSqlCall(createClients(stack)));
  const random = new Random(seed ^ 0x5eed);
  const ended = new AbortController();
  cleanup.defer(() => ended.abort(new Error("The campaign is over")));
  const proxyFor = () => cleanup.use(new Proxy({ target: new URL(stack.url), random: () => random.next() }));
  const folderFor = async (name: string) => {
    const path = join(folder, name);
    await Deno.mkdir(path, { recursive: true });
    return path;
  };

  const tenants: { tenant: string; tenantId: string; token: string }[] = [];
  const apps: App[] = [];
  for (const tenant of tenantNames) {
    const { id: tenantId } = await admin.createTenant(tenant);
    const { enrollmentToken: token } = await admin.createEnrollmentToken({
      ...{
        tenantId,
        name: "campaign",
        capabilities: null,
        labels: {},
        maxUses: null,
        expiresAt: null,
        ephemeral: false,
      },
    });
    tenants.push({ tenant, tenantId, token });
    for (const app of tenant === tenantNames[0] ? ["app-1", "app-2"] : ["bystander"]) {
      const { apiKey } = await admin.createApiKey({ tenantId, executorName: app, expiresAt: null });
      const settings = { name: app, tenant, apiKey, proxy: proxyFor(), folder: await folderFor(app) };
      apps.push(cleanup.use(new App(settings, AbortSignal.any([ended.signal, signal]))));
    }
  }
  const [red, blue] = tenants;
  const workers: CampaignWorker[] = [];
  for (let index = 1; index <= count; index += 1) {
    // One in six works for the bystander, and at least one.
    const { tenant, token } = index % 6 === 5 || (count < 5 && index === count) ? blue! : red!;
    const name = `worker-${index}`;
    const settings = { name, tenant, enrollmentToken: token, slots: 1 + index % 3 };
    workers.push(cleanup.use(new CampaignWorker({ ...settings, folder: await folderFor(name), proxy: proxyFor() })));
  }
  let own: () => readonly string[] = () => [];
  let foreign: () => readonly string[] = () => [];
  const workerIds = (tenant: string) =>
    workers.filter(({ settings }) => settings.tenant === tenant).flatMap(({ workerId = [] }) => workerId);
  const liar = cleanup.use(
    new LyingWorker({
      ...{
        url: stack.url,
        publishableKey: stack.publishableKey,
        enrollmentToken: red!.token,
        slots: 2,
        tenant: red!.tenant,
      },
      ...{ folder: await folderFor("liar"), random },
      jobIds: () => own(),
      foreignJobIds: () => foreign(),
      foreignWorkerIds: () => workerIds(blue!.tenant),
    }),
  );
  return {
    ...{ tenants, workers, apps, liar },
    tellLiar: (ownIds, foreignIds) => [own, foreign] = [ownIds, foreignIds],
    roster: () => ({
      tenants: tenants.map(({ tenant, tenantId }) => ({ tenant, tenantId })),
      apps: apps.map(({ settings: { name, tenant, folder } }) => ({ name, tenant, folder })),
      workers: [
        ...workers.map(({ workerId = "", settings: { name, tenant, slots, folder } }) => ({
          ...{ name, workerId, tenant, slots, folder, lies: false },
        })),
        {
          ...{ name: "liar", workerId: liar.workerId ?? "", tenant: red!.tenant, slots: 2 },
          ...{ folder: join(folder, "liar"), lies: true },
        },
      ],
    }),
  };
}

/** The jobs as far as they are recorded: a second behind at most, as long as Postgres runs. */
class LiveJobs {
  readonly #recorder: Recorder;
  readonly #states = new Map<string, JobState>();
  readonly #ended = new Map<string, number>();
  #seen = 0;

  constructor(recorder: Recorder) {
    this.#recorder = recorder;
  }

  open(): JobState[] {
    const fresh = this.#recorder.commits.slice(this.#seen);
    this.#seen += fresh.length;
    replay(fresh, ({ after, jobId }) => {
      if (after === undefined) return;
      if (isTerminal(after) && this.#states.delete(jobId)) {
        this.#ended.set(after.tenantId, (this.#ended.get(after.tenantId) ?? 0) + 1);
      } else if (!isTerminal(after)) {
        this.#states.set(jobId, after);
      }
    });
    return [...this.#states.values()];
  }

  endedCount(tenantId: string): number {
    this.open();
    return this.#ended.get(tenantId) ?? 0;
  }
}

/** Starts workers again that ended by themselves, as a service manager does; what they said is kept as evidence. */
async function reviveWorkers(workers: readonly CampaignWorker[], signal: AbortSignal): Promise<void> {
  const ends = new Map(workers.map((worker) => [worker, 0]));
  while (!signal.aborted) {
    for (const worker of workers) {
      if (worker.unexpectedEnds.length === ends.get(worker) || worker.isUp) continue;
      ends.set(worker, worker.unexpectedEnds.length);
      worker.start();
    }
    await pauseUntil(performance.now() + 500, signal);
  }
}

async function untilQuiet(
  live: LiveJobs,
  recorder: Recorder,
  workers: readonly CampaignWorker[],
  signal: AbortSignal,
  log: (line: string) => void,
): Promise<void> {
  let changedAt = performance.now();
  let before = -1;
  for (;;) {
    signal.throwIfAborted();
    await recorder.catchUp().catch(() => {});
    const open = live.open();
    if (open.length === 0) return;
    if (recorder.commits.length !== before) changedAt = performance.now();
    before = recorder.commits.length;
    if (performance.now() - changedAt > stuckAfterMs) {
      for (const { id, status, workerId, attempt } of open) log(`stuck: ${id} ${status} ${workerId ?? ""} ${attempt}`);
      for (const { name, isUp, isOnline } of workers) if (!isUp || !isOnline) log(`stuck: ${name} is not online`);
      return;
    }
    await pauseUntil(performance.now() + 200, signal);
  }
}

/** The auditor tells which answers are missing, so that the campaign must not wait for them for ever. */
async function withPatience(promise: Promise<unknown>, signal: AbortSignal): Promise<void> {
  await Promise.race([promise, pauseUntil(performance.now() + stuckAfterMs, signal)]);
}

/** The same, but an abort does not wait for it. */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  return Promise.race([promise, aborted.promise]).finally(() => signal.removeEventListener("abort", abort));
}

function pauseUntil(at: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = setTimeout(done, Math.max(0, at - performance.now()));
    signal.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
  });
}
