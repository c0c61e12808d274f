/** A command line or the environment says what cannot be used. The message says what is wrong, the advice what to do. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** Undefined where the command's help is the best advice. */
  readonly advice: string | undefined;

  constructor(message: string, advice?: string) {
    super(message);
    this.advice = advice;
  }
}
