import { sleep } from "../../../shared/sleep.ts";
import { isTerminal, type JobState, replay } from "./auditor/history.ts";
import type { Recorder } from "./auditor/recorder.ts";
import type { CampaignWorker } from "./workers.ts";

/** The end may take as long as something still changes; so long without a change means that jobs are stuck. */
export const stuckAfterMs = 120_000;

/** The jobs as far as they are recorded: a second behind at most, as long as Postgres runs. */
export class LiveJobs {
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
        // Of batches, and of what apps did not plan, they need not know.
        if (!/^tenant-[a-z]+-\d+$/.test(after.key ?? "")) return;
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

/** Resolves when no job is open, or says which are stuck. */
export async function untilQuiet(
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
    await sleep(200, signal);
  }
}
