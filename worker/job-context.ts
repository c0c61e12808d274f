import { limits } from "../shared/contracts/limits.ts";
import type { SecretValues } from "../shared/auth/sealed-secrets.ts";
import type { Artifact, ArtifactBody, Artifacts, ReadableArtifact } from "./artifacts.ts";
import type { Assignment } from "./attempt.ts";
import { ChunkMask } from "./chunk-mask.ts";
import { FinalError } from "./final-error.ts";
import { clampJsonText, clampText, maskedJson, measureJson } from "./json-value.ts";
import { Mask } from "./mask.ts";
import type { Outbox } from "./outbox.ts";
import type { Resources } from "./worker-resources.ts";

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
  /**
   * Values of the secrets that the job names, until the handler ends. They are taken out of whatever the attempt tells:
   * events, result, error and the worker's log. What the handler writes elsewhere is its own matter.
   */
  readonly secrets: SecretValues;
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
  /** Named resources of this worker, such as a loaded model: jobs that refer to one come to who holds it. */
  readonly resources: Resources;
}

/** A job that its handler can begin with. */
export interface PreparedJob {
  readonly context: JobContext;
  /** Of the job's secrets. */
  readonly mask: Mask;
  /** The handler has ended: tells what waits, and forgets the secrets. */
  finish(): void;
}

/** What jobs are made ready with. */
export interface PrepareJobOptions {
  readonly outbox: Outbox;
  readonly artifacts: Artifacts;
  readonly resources: Resources;
  readonly secrets?: SecretValues;
  /** Told the job's mask; what it answers is called when the handler has ended. */
  readonly onMask?: (mask: Mask) => () => void;
}

/** Makes one attempt ready for its handler. */
export function prepareJob(
  assignment: Assignment,
  signal: AbortSignal,
  { outbox, artifacts, resources, secrets = {}, onMask = () => () => {} }: PrepareJobOptions,
): PreparedJob {
  const { jobId, attempt } = assignment;
  const mask = Mask.of(secrets);
  const forgetMask = onMask(mask);
  const chunks = new ChunkMask(mask);
  const values: Record<string, string> = Object.assign(Object.create(null), secrets);
  let number = 0;

  /** A report that nobody awaits must not end the process when it is refused. */
  function report(kind: "progress" | "log" | "chunk", data: unknown): Promise<void> {
    const reported = add(kind, data);
    reported.catch(() => {});
    return reported;
  }

  async function add(kind: "progress" | "log" | "chunk", data: unknown): Promise<void> {
    if (signal.aborted) return;
    const bytes = checkedBytes(kind, data);
    if (kind !== "chunk" || mask.isEmpty) return await send(kind, data, bytes);
    // All get their numbers before anything is waited for: chunks that nobody awaits stay in order.
    await Promise.all(chunks.push(JSON.parse(JSON.stringify(data ?? null))).map((piece) => send(kind, piece, bytes)));
  }

  function checkedBytes(kind: string, data: unknown): number {
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
    return measured.bytes;
  }

  async function send(kind: "progress" | "log" | "chunk", data: unknown, bytes: number): Promise<void> {
    number += 1;
    await outbox.add({ jobId, attempt, number, kind, data }, bytes);
  }

  const context: JobContext = {
    id: jobId,
    type: assignment.type,
    payload: assignment.payload,
    attempt,
    maxAttempts: assignment.maxAttempts,
    correlationId: assignment.correlationId,
    inputs: assignment.inputs,
    secrets: values,
    signal,
    progress: (fraction, note) =>
      report("progress", {
        fraction: fraction === null || Number.isNaN(fraction) ? null : Math.min(1, Math.max(0, fraction)),
        note: note === undefined ? null : clampText(mask.text(note), 1_000),
      }),
    log: (message, level = "info") => report("log", { level, message: clampJsonText(mask.text(message), 12 * 1024) }),
    chunk: (data) => report("chunk", data),
    artifact: (name, body, options = {}) =>
      artifacts.upload(mask.text(name), body, { ...options, attempt: { jobId, attempt }, signal }),
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
    resources: {
      hold: (name, { metadata, ...options } = {}) =>
        resources.hold(mask.text(name), {
          ...options,
          ...(metadata === undefined ? {} : { metadata: maskedJson(metadata, mask) as Record<string, unknown> }),
        }),
      touch: (name) => resources.touch(mask.text(name)),
      release: (name, options) => resources.release(mask.text(name), options),
    },
  };
  return {
    context,
    mask,
    finish() {
      for (const piece of signal.aborted ? [] : chunks.end()) {
        send("chunk", piece, checkedBytes("chunk", piece)).catch(() => {});
      }
      for (const name of Object.keys(values)) delete values[name];
      forgetMask();
    },
  };
}
