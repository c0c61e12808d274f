/** Thrown by a handler when another try cannot help: the job fails at once. */
export class FinalError extends Error {
  override readonly name = "FinalError";
  readonly retryable = false;
  /** A short stable word that apps can act on, such as `bad_payload`. */
  readonly code: string;
  readonly details: unknown;

  constructor(message: string, options: { code?: string; details?: unknown; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code ?? "failed";
    this.details = options.details;
  }
}
