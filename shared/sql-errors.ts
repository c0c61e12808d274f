import { type ErrorCode, errorList, MusterError, musterError } from "./errors.ts";

/** The body of a failed Data API call. */
export interface DataApiError {
  readonly code?: string | null | undefined;
  readonly message?: string | null | undefined;
  readonly hint?: string | null | undefined;
  readonly details?: string | null | undefined;
}

const codeBySqlState: ReadonlyMap<string, ErrorCode> = new Map(
  Object.entries(errorList).flatMap(([code, { sqlState }]) => sqlState === null ? [] : [[sqlState, code as ErrorCode]]),
);

/**
 * The error that a failed call of a SQL function stands for. Ours keep their message and hint; whatever else Postgres
 * or PostgREST says is internal text, kept as `cause` for the log. `status` is that of the HTTP answer, if there was one.
 */
export function errorFromSql(error: DataApiError, status = 0): MusterError {
  const state = error.code ?? "";
  const cause = new Error(`${state || "no SQLSTATE"}: ${internalText(error)}`.trim());
  const ours = codeBySqlState.get(state);
  if (ours !== undefined) {
    return refusal(musterError(ours, error.message ?? errorList[ours].title, {
      advice: error.hint || undefined,
      retryAfterSeconds: retryAfterOf(error.details),
      cause,
    }));
  }
  // What stands before the Data API refuses a key without a code.
  if (state === "" && (status === 401 || status === 403)) {
    return musterError("unauthenticated", "The Data API does not accept the key", { cause });
  }
  // PostgREST: the token is missing, malformed or expired.
  if (/^PGRST30\d$/.test(state)) {
    return musterError("unauthenticated", "The token is not valid or has expired", { cause });
  }
  if (state === "42501") return musterError("forbidden", "The caller may not do this", { cause });
  // A value that no column can hold, such as text with a NUL character.
  if (state.startsWith("22")) return musterError("invalid_request", "A value cannot be stored as given", { cause });
  // No answer, no connection, out of resources, shutting down, timed out, or beaten by another transaction.
  if (/^(|08...|53...|57...|40001|40P01|55P03|PGRST00\d)$/.test(state)) {
    return musterError("unavailable", "The database cannot be reached or is busy", { cause });
  }
  return musterError("internal", cause.message, { cause });
}

const refusals = new WeakSet<object>();

function refusal(error: MusterError): MusterError {
  refusals.add(error);
  return error;
}

/** Whether the database itself refused the request, at its own cost, and did not count it against a rate. */
export function isRefusalOfDatabase(error: unknown): boolean {
  return error instanceof MusterError && refusals.has(error) && error.status < 500 && error.code !== "rate_limited";
}

/** What muster_private.refuse() says of the time, within bounds that any client can wait for. */
function retryAfterOf(details: string | null | undefined): number | undefined {
  const seconds = Number(/^\{"retry_after_seconds": (\d{1,9})\}$/.exec(details ?? "")?.[1] ?? NaN);
  return Number.isNaN(seconds) ? undefined : Math.min(Math.max(seconds, 1), 3600);
}

/** What may stand in a log: of refused data (class 22) and broken constraints (class 23) nothing that was in the data. */
function internalText({ code, message, details }: DataApiError): string {
  const text = message ?? "";
  // A message of class 22 quotes the value, from the first quotation mark to the last.
  if (code?.startsWith("22")) return text.replace(/".*"/s, '"…"');
  // The details of class 23 hold the row or the key; the message names the constraint.
  if (code?.startsWith("23")) return text;
  return `${text} ${details ?? ""}`;
}
