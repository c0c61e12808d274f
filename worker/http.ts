import { UnavailableError } from "../shared/errors.ts";

/** What `exchange` is given besides the request. */
export interface ExchangeOptions {
  readonly fetch: typeof fetch;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON when given. */
  readonly json?: unknown;
  /** Gives up after this long. Default 15,000. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** An answer, read to its end. */
export interface Answer {
  readonly ok: boolean;
  readonly status: number;
  /** The parsed body, or undefined when it is empty or not JSON. */
  readonly body: unknown;
}

/** One request and its JSON answer. No answer at all is an `UnavailableError`; an error status is the caller's matter. */
export async function exchange(url: string, options: ExchangeOptions): Promise<Answer> {
  const deadline = AbortSignal.timeout(options.timeoutMs ?? 15_000);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  const { origin } = new URL(url);
  const init: RequestInit = { method: options.method ?? "GET", headers: { ...options.headers }, signal };
  if (options.json !== undefined) {
    init.body = JSON.stringify(options.json);
    init.headers = { "content-type": "application/json", ...options.headers };
  }
  let text: string;
  let response: Response;
  try {
    response = await options.fetch(url, init);
    text = await response.text();
  } catch (cause) {
    if (options.signal?.aborted) throw options.signal.reason;
    throw new UnavailableError(`Cannot reach ${origin}: ${networkReason(cause)}`, { cause });
  }
  return { ok: response.ok, status: response.status, body: parseJson(text) };
}

/** Why a request got no answer, in a few words that do not depend on the runtime. */
export function networkReason(error: unknown): string {
  const text = errorText(error);
  if (/timeout|timed out/i.test(text)) return "no answer in time";
  if (/refused/i.test(text)) return "connection refused";
  if (/dns|lookup|ENOTFOUND|EAI_AGAIN|resolve/i.test(text)) return "host not found";
  if (/certificate|tls|ssl/i.test(text)) return "its certificate is not trusted";
  if (/unreachable|ENETDOWN/i.test(text)) return "network unreachable";
  if (/reset|closed|EPIPE|hang up|terminated/i.test(text)) return "connection lost";
  return error instanceof Error ? error.message : String(error);
}

/** The text of an error and its causes: runtimes hide the reason of a failed fetch at different depths. */
function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = "code" in error ? String(error.code) : "";
  return [error.name, code, error.message, error.cause === undefined ? "" : errorText(error.cause)].join(" ");
}

function parseJson(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
