import { limits } from "../shared/contracts/limits.ts";
import type { Artifact, ArtifactBody, Artifacts, ReadableArtifact } from "./artifacts.ts";
import type { Assignment } from "./attempt.ts";
import { FinalError } from "./final-error.ts";
import { clampJsonText, clampText, measureJson } from "./json-value.ts";
import type { Outbox } from "./outbox.ts";

export type JobLogLevel = "debug" | "info" | "warn" | "error";

/** What a handler gets: its job, and the ways to tell how it goes. Its functions can be taken apart from it. */
export interface JobContext<Payload = unknown> {
  readonly id: string;
  readonly type: string;
  readonly payload: Payload;
  /** Number of this try, from 1. */
  readonly attempt: number;
  readonly maxAttempts: number;
  readonly correlationId: string | null;
  /** Ids of the artifacts the job reads. */
  readonly inputs: readonly string[];
  /** Fires when the attempt is cancelled, timed out, replaced, or the worker stops. Nothing after it counts. */
  readonly signal: AbortSignal;
  /** How far it is, 0 to 1 (null when that cannot be said), and a note for people. */
  progress(fraction: number | null, note?: string): Promise<void>;
  /** A line for the job's log. */
  log(message: string, level?: JobLogLevel): Promise<void>;
  /** A piece of output that listeners get before the job ends, in order; at most 16 KiB of JSON text. */
  chunk(data: unknown): Promise<void>;
  /** Uploads a file as an output of this attempt. */
  artifact(name: string, body: ArtifactBody, options?: { contentType?: string }): Promise<Artifact>;
  /** Opens an input, by its place in `inputs` or by id. Default the first. */
  input(which?: number | string): Promise<ReadableArtifact>;
}

/** Makes the context of one attempt. */
export function createJobContext(
  assignment: Assignment,
  signal: AbortSignal,
  { outbox, artifacts }: { readonly outbox: Outbox; readonly artifacts: Artifacts },
): JobContext {
  const { jobId, attempt } = assignment;
  let number = 0;

  /** A report that nobody awaits must not end the process when it is refused. */
  function report(kind: "progress" | "log" | "chunk", data: unknown): Promise<void> {
    const reported = add(kind, data);
    reported.catch(() => {});
    return reported;
  }

  async function add(kind: "progress" | "log" | "chunk", data: unknown): Promise<void> {
    if (signal.aborted) return;
    const measured = measureJson(data);
    if ("problem" in measured) {
      throw new FinalError(`Cannot report ${kind}: ${measured.problem}`, { code: "bad_event" });
    }
    if (measured.bytes > limits.eventDataBytes) {
      throw new FinalError(
        `Cannot report ${kind}: it has ${measured.bytes} bytes of JSON text, and an event has at most ` +
          `${limits.eventDataBytes}; larger data travels as an artifact`,
        { code: "bad_event" },
      );
    }
    number += 1;
    await outbox.add({ jobId, attempt, number, kind, data }, measured.bytes);
  }

  return {
    id: jobId,
    type: assignment.type,
    payload: assignment.payload,
    attempt,
    maxAttempts: assignment.maxAttempts,
    correlationId: assignment.correlationId,
    inputs: assignment.inputs,
    signal,
    progress: (fraction, note) =>
      report("progress", {
        fraction: fraction === null || Number.isNaN(fraction) ? null : Math.min(1, Math.max(0, fraction)),
        note: note === undefined ? null : clampText(note, 1_000),
      }),
    log: (message, level = "info") => report("log", { level, message: clampJsonText(message, 12 * 1024) }),
    chunk: (data) => report("chunk", data),
    artifact: (name, body, options = {}) =>
      artifacts.upload(name, body, { ...options, attempt: { jobId, attempt }, signal }),
    async input(which = 0) {
      const id = typeof which === "number" ? assignment.inputs[which] : which;
      if (id === undefined) {
        throw new FinalError(
          `Cannot open input ${which}: the job has ${assignment.inputs.length} inputs; name artifacts in "inputs"`,
          { code: "missing_input" },
        );
      }
      return await artifacts.open(id, { signal });
    },
  };
}
