/** Something answers at the project's URL, but not as Muster does. */
export class NotMusterError extends Error {
  override readonly name = "NotMusterError";
  readonly advice: string;

  /** `body` is the parsed answer, if it was JSON: a gateway says there what it misses. */
  constructor(url: string, status: number, body: unknown) {
    const refusal = gatewayRefusal(status, body);
    super(
      refusal === null
        ? `${url} answers, but it is not a Muster project`
        : `The gateway of ${url} refuses the request: ${refusal}`,
    );
    this.advice = refusal === null
      ? "Give the project's own URL, such as https://xyz.supabase.co, and check that its functions are deployed"
      : "Give the project's publishable key with --key or MUSTER_KEY";
  }
}

function gatewayRefusal(status: number, body: unknown): string | null {
  if (status !== 401 && status !== 403) return null;
  return typeof body === "object" && body !== null && "message" in body ? String(body.message) : null;
}
