/** The command line or the environment is not as it must be; the message says how it must be. */
export class UsageError extends Error {
  override name = "UsageError";
}
