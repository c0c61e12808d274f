import process from "node:process";
import { z } from "zod";
import { defineHandler, FinalError } from "../../../../worker/index.ts";
import { Journal } from "../journal.ts";
import { WorkPlan } from "../work-plan.ts";

const path = process.env["MUSTER_CAMPAIGN_JOURNAL"];
if (!path) throw new Error("Cannot run the campaign's handlers: MUSTER_CAMPAIGN_JOURNAL must name the journal's file");
const journal = new Journal(path);

/**
 * Does what its payload tells: takes its time, reports progress, fails, ignores the signal to stop. Each execution has
 * an id of its own, which goes into the journal first and then into all that the control plane gets from it.
 */
const work = defineHandler({
  type: "campaign.work",
  payload: z.object({ tenant: z.string(), key: z.string(), plan: WorkPlan }),
  async handle({ id, attempt, payload: { tenant, key, plan }, signal, progress, chunk, resources }) {
    const execution = crypto.randomUUID();
    const say = (entry: object) => journal.write({ job: id, attempt, execution, pid: process.pid, ...entry });
    say({ did: "begin", tenant, key });
    signal.addEventListener("abort", () => say({ did: "abort", reason: String(signal.reason) }));
    // Whether or not the control plane can be told: the next job that is to hold it says so again.
    if (plan.holds !== null) await resources.hold(plan.holds, { leaseSeconds: 30 }).catch(() => {});
    const endsAt = performance.now() + plan.milliseconds;
    for (let step = 1; performance.now() < endsAt; step += 1) {
      await pause(Math.min(endsAt - performance.now(), plan.reportEveryMs), plan.ignoresAbort ? undefined : signal);
      if (signal.aborted && !plan.ignoresAbort) {
        say({ did: "end", outcome: "aborted" });
        throw signal.reason;
      }
      void progress(1 - Math.max(0, endsAt - performance.now()) / plan.milliseconds, execution);
      if (step % 4 === 0) void chunk({ execution, step });
    }
    if (attempt <= plan.failures) {
      say({ did: "end", outcome: "failed", retryable: !plan.failsFinally });
      const details = { execution };
      const code = plan.failsWith ?? "campaign_failure";
      if (plan.failsFinally) throw new FinalError("fails on purpose, for good", { code: "campaign_final", details });
      throw Object.assign(new Error("fails on purpose"), { code, details });
    }
    if (plan.holds !== null && plan.evicts) await resources.release(plan.holds, { evicted: true }).catch(() => {});
    const result = { execution, job: id, attempt, tenant, filling: "x".repeat(plan.resultBytes) };
    say({ did: "end", outcome: "succeeded" });
    return result;
  },
});

function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    }
  });
}

export default work;
