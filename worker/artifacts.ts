import { z } from "zod";
import { Artifact, CreateArtifactAnswer, DownloadAnswer } from "../shared/contracts/artifacts.ts";
import { limits } from "../shared/contracts/limits.ts";
import {
  ArtifactMismatchError,
  InvalidRequestError,
  MusterError,
  PayloadTooLargeError,
  UnavailableError,
} from "../shared/errors.ts";
import { errorFromAnswer } from "../shared/problem.ts";
import type { AttemptRef } from "./attempt.ts";
import { exchange, networkReason } from "./http.ts";
import { clampText } from "./json-value.ts";
import { retryDelay } from "./retry-delay.ts";
import { runtime } from "./runtime/current.ts";

export type { Artifact } from "../shared/contracts/artifacts.ts";
import { sleep } from "../shared/sleep.ts";

/** What an artifact is made of. A stream is gathered first, as its size and hash are declared before the upload. */
export type ArtifactBody = string | Uint8Array | ArrayBuffer | Blob | ReadableStream<Uint8Array>;

export interface UploadOptions {
  /** Media type. Default that of the Blob, else application/octet-stream. */
  readonly contentType?: string;
  /** The attempt whose output it is. */
  readonly attempt?: AttemptRef;
  readonly signal?: AbortSignal;
}

/** An artifact whose bytes can be read; each call reads them anew, and checks size and hash on the way. */
export interface ReadableArtifact extends Artifact {
  /** The bytes, as they come. Reading fails at the end when they are not those that were declared. */
  stream(): Promise<ReadableStream<Uint8Array>>;
  bytes(): Promise<Uint8Array>;
  text(): Promise<string>;
}

export interface ArtifactsOptions {
  readonly url: string;
  /** `renew` asks for another token than the one that was just refused. */
  readonly headers: (options?: { renew?: boolean }) => Promise<Readonly<Record<string, string>>>;
  readonly fetch: typeof fetch;
  readonly random?: () => number;
}

/** Files of jobs: the bytes travel by presigned URLs, straight to and from Storage. */
export class Artifacts {
  readonly #options: ArtifactsOptions;

  constructor(options: ArtifactsOptions) {
    this.#options = options;
  }

  /** Uploads a file and has its size and hash verified. */
  async upload(name: string, body: ArtifactBody, options: UploadOptions = {}): Promise<Artifact> {
    const { attempt, signal } = options;
    const blob = await toBlob(body);
    if (blob.size > limits.artifactBytes) {
      throw new PayloadTooLargeError(
        `Cannot upload "${name}": it has ${blob.size} bytes, and an artifact has at most ${limits.artifactBytes}`,
      );
    }
    const contentType = options.contentType ?? (blob.type || undefined);
    const request = {
      name,
      sizeBytes: blob.size,
      sha256: await hashOf(blob),
      ...(contentType === undefined ? {} : { contentType }),
      ...(attempt === undefined ? {} : { jobId: attempt.jobId, attempt: attempt.attempt }),
    };
    const created = await this.#retrying(
      signal,
      () => this.#call("POST", "", CreateArtifactAnswer, signal, request),
    );
    return await this.#retrying(signal, async () => {
      await this.#put(created, blob, signal);
      return await this.#call("POST", `/${created.artifact.id}/finish`, Artifact, signal);
    });
  }

  /** What is known of an artifact, and its bytes. */
  async open(id: string, options: { signal?: AbortSignal } = {}): Promise<ReadableArtifact> {
    const { signal } = options;
    const artifact = await this.#retrying(signal, () => this.#call("GET", `/${id}`, Artifact, signal));
    const stream = () => this.#download(artifact, signal);
    return {
      ...artifact,
      stream,
      bytes: async () => new Uint8Array(await new Response(await stream()).arrayBuffer()),
      text: async () => await new Response(await stream()).text(),
    };
  }

  /** The inputs of a job, and the outputs of its winning or present attempt. */
  async list(jobId: string, options: { signal?: AbortSignal } = {}): Promise<readonly Artifact[]> {
    const { signal } = options;
    const schema = z.object({ artifacts: z.array(Artifact) });
    const query = `?jobId=${encodeURIComponent(jobId)}`;
    return (await this.#retrying(signal, () => this.#call("GET", query, schema, signal))).artifacts;
  }

  async #put({ upload }: CreateArtifactAnswer, blob: Blob, signal: AbortSignal | undefined): Promise<void> {
    const deadline = AbortSignal.timeout(transferMs(blob.size));
    let response: Response;
    let text: string;
    try {
      response = await this.#options.fetch(upload.url, {
        method: upload.method,
        headers: upload.headers,
        body: blob,
        signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
      });
      text = await response.text();
    } catch (cause) {
      if (signal?.aborted) throw signal.reason;
      throw new UnavailableError(`Cannot upload to ${new URL(upload.url).origin}: ${networkReason(cause)}`, { cause });
    }
    // Already there: an earlier try got through without its answer. The finish looks at the bytes in any case.
    if (!response.ok && response.status !== 409) throw storageError("upload", response.status, text);
  }

  async #download(artifact: Artifact, signal: AbortSignal | undefined): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#retrying(signal, async () => {
      const { url } = await this.#call("GET", `/${artifact.id}/download`, DownloadAnswer, signal);
      const deadline = AbortSignal.timeout(transferMs(artifact.sizeBytes));
      let answer: Response;
      try {
        answer = await this.#options.fetch(url, {
          signal: signal === undefined ? deadline : AbortSignal.any([signal, deadline]),
        });
      } catch (cause) {
        if (signal?.aborted) throw signal.reason;
        throw new UnavailableError(`Cannot download from ${new URL(url).origin}: ${networkReason(cause)}`, { cause });
      }
      if (answer.ok && answer.body !== null) return answer.body;
      throw storageError("download", answer.status, await answer.text());
    });
    return response.pipeThrough(verifying(artifact));
  }

  async #call<T extends z.ZodType>(
    method: string,
    path: string,
    schema: T,
    signal: AbortSignal | undefined,
    json?: unknown,
  ): Promise<z.output<T>> {
    const { url, headers, fetch } = this.#options;
    const send = async (options?: { renew: true }) =>
      await exchange(`${url}/functions/v1/artifacts${path}`, {
        fetch,
        method,
        headers: await headers(options),
        signal,
        // The finish reads the whole object on the server.
        timeoutMs: 60_000,
        ...(json === undefined ? {} : { json }),
      });
    let answer = await send();
    if (answer.status === 401) answer = await send({ renew: true });
    if (!answer.ok) throw errorFromAnswer(answer.status, answer.body);
    return schema.parse(answer.body);
  }

  /** A few more tries for what may work the next time. */
  async #retrying<T>(signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
    for (let failures = 1;; failures += 1) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof MusterError) || !error.retryable || failures >= 5) throw error;
        await sleep(retryDelay(failures, { ...this.#options, error }), signal);
        signal?.throwIfAborted();
      }
    }
  }
}

/** How long the bytes may be on their way: a minute, and what a line of half a megabit a second takes. */
function transferMs(bytes: number): number {
  return Math.min(60_000 + bytes / 64, 2 ** 31 - 1);
}

/** Storage's refusal: final, unless it is one of those that pass. */
function storageError(doing: "upload" | "download", status: number, text: string): MusterError {
  const message = `Storage refused the ${doing} with ${status}: ${clampText(text, 500)}`;
  const passes = status >= 500 || [408, 423, 425, 429].includes(status);
  return passes ? new UnavailableError(message) : new InvalidRequestError(message);
}

async function toBlob(body: ArtifactBody): Promise<Blob> {
  if (body instanceof Blob) return body;
  if (body instanceof ReadableStream) return await new Response(body).blob();
  return new Blob([body as BlobPart]);
}

async function hashOf(blob: Blob): Promise<string> {
  const hash = runtime.sha256();
  for await (const chunk of blob.stream()) hash.update(chunk);
  return await hash.digest();
}

/** Lets bytes through and fails at the end when they are not those that were declared. */
function verifying(artifact: Artifact): TransformStream<Uint8Array, Uint8Array> {
  const hash = runtime.sha256();
  let size = 0;
  return new TransformStream({
    transform(chunk, controller) {
      size += chunk.byteLength;
      hash.update(chunk);
      controller.enqueue(chunk);
    },
    async flush(controller) {
      if (size === artifact.sizeBytes && await hash.digest() === artifact.sha256) return;
      controller.error(
        new ArtifactMismatchError(`Cannot read "${artifact.name}": its bytes are not those that were declared`),
      );
    },
  });
}
