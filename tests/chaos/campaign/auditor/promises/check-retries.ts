import { askedOf } from "../asked.ts";
import type { Evidence } from "../evidence.ts";
import { isHeld, replay } from "../history.ts";
import type { Violation } from "../violation.ts";

/** What says little about a job. */
const losses = new Set(["worker_lost", "worker_restarted", "job_forgotten"]);
/** Of a millisecond, which is what the record's times are cut to. */
const cutMs = 2;

/**
 * When attempts come: after a failure no sooner and no later than the policy says, never before the time the job waits for,
 * the first not after the time it must have begun, and none after an error that is final. What failed for good has a letter,
 * and is replayed once.
 */
export function checkRetries(evidence: Evidence): Violation[] {
  const { jobs, letters, commits } = evidence;
  const askedBy = askedOf(evidence);
  const found: Violation[] = [];

  replay(commits, ({ before, after, jobId }) => {
    if (after === undefined) return;
    const say = (what: string) => found.push({ kind: "promise", what, jobId });
    const asked = askedBy(jobId);
    if (isHeld(before) && after.status === "scheduled") {
      const { retryBackoff = "exponential", retryJitter = 0.5 } = asked;
      const { retryBaseSeconds = 0.2, retryCapSeconds = 300 } = asked;
      // The first loss of a worker counts for nothing.
      const failures = after.attempt - after.released - (losses.has(after.errorCode ?? "") ? 1 : 0);
      const factor = retryBackoff === "fixed" ? 1 : retryBackoff === "linear" ? failures : 2 ** (failures - 1);
      const mostMs = 1000 * Math.min(retryCapSeconds, retryBaseSeconds * factor);
      const delayMs = after.runAtMs - after.updatedAtMs;
      if (delayMs > mostMs + cutMs || delayMs < mostMs * (1 - retryJitter) - cutMs) {
        say(
          `waits ${delayMs} ms after ${failures} failures: at most ${mostMs}, ${retryBackoff}, jitter ${retryJitter}`,
        );
      }
      const final = asked.finalErrors?.find((pattern) =>
        pattern === after.errorCode || pattern.endsWith(".*") && after.errorCode?.startsWith(pattern.slice(0, -1))
      );
      if (final !== undefined) say(`is tried again after ${after.errorCode}, which is final`);
    }
    const waited = before?.status === "scheduled" &&
      ["blocked", "queued", "assigned", "running"].includes(after.status);
    if (waited && after.updatedAtMs < before.runAtMs - cutMs) {
      say(`went on ${before.runAtMs - after.updatedAtMs} ms before its time`);
    }
    const isFirst = isHeld(after) && after.attempt === 1 && before?.attempt !== 1;
    if (isFirst && asked.runAt !== undefined && after.assignedAtMs < Date.parse(asked.runAt) - cutMs) {
      say(`was given ${after.assignedAtMs - Date.parse(asked.runAt)} ms after its runAt`);
    }
    if (after.status === "failed" && before?.status !== "failed" && after.errorCode === "expired") {
      const isLimited = asked.startBy !== undefined || asked.timeoutSeconds !== undefined;
      if (!isLimited && evidence.jobs.find(({ id }) => id === jobId)?.retry_of === null) say("expired without a time");
      const isLate = asked.startBy === undefined || after.updatedAtMs >= Date.parse(asked.startBy);
      if (!isLate) say("expired before the time it had to begin by");
    }
  });

  const replays = new Map<string, string>();
  for (const { id, retry_of } of jobs) {
    if (retry_of === null) continue;
    const other = replays.get(retry_of);
    if (other !== undefined) {
      found.push({ kind: "promise", what: `was replayed as ${other} and ${id}`, jobId: retry_of });
    }
    replays.set(retry_of, id);
  }
  const lettersOf = new Map(letters.map((letter) => [letter.job_id, letter]));
  for (const { id, type, status } of jobs) {
    const letter = lettersOf.get(id);
    if ((status === "failed" && type !== "muster.batch") !== (letter !== undefined)) {
      found.push({ kind: "promise", what: `is ${status} and ${letter ? "has a" : "has no"} dead letter`, jobId: id });
    }
    if ((letter?.replayed_as ?? undefined) !== replays.get(id)) {
      found.push({ kind: "promise", what: `its letter names ${letter?.replayed_as} as its replay`, jobId: id });
    }
  }
  return found;
}
