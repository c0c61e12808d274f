/** What one entry of the list says. `sqlState` is null where only the HTTP side can raise it. */
interface ErrorEntry {
  readonly sqlState: string | null;
  readonly status: number;
  /** Whether the same request may succeed later without being changed. */
  readonly retryable: boolean;
  readonly title: string;
  readonly advice: string;
}

/** Every error that Muster answers. SQL, both SDKs and docs/errors.md are held against this list. */
export const errorList = {
  unauthenticated: {
    sqlState: "MU001",
    status: 401,
    retryable: false,
    title: "Not authenticated",
    advice: "Send a valid API key, user token or worker token in the Authorization header",
  },
  forbidden: {
    sqlState: "MU002",
    status: 403,
    retryable: false,
    title: "Not allowed",
    advice: "Use a key or a role that may do this",
  },
  not_found: {
    sqlState: "MU003",
    status: 404,
    retryable: false,
    title: "Not found",
    advice: "Check the id and that the key belongs to the same tenant",
  },
  invalid_request: {
    sqlState: "MU004",
    status: 400,
    retryable: false,
    title: "The request does not fit the schema",
    advice: "Correct the fields listed in errors",
  },
  payload_too_large: {
    sqlState: "MU005",
    status: 413,
    retryable: false,
    title: "Too large",
    advice: "Upload large data as an artifact and name its id in the job's inputs",
  },
  stale_attempt: {
    sqlState: "MU006",
    status: 409,
    retryable: false,
    title: "The attempt was replaced or has ended",
    advice: "Stop working on this attempt and drop its result",
  },
  slots_exceeded: {
    sqlState: "MU007",
    status: 409,
    retryable: false,
    title: "The worker holds more jobs than that",
    advice: "Declare at least as many slots as the worker holds jobs, or hand jobs back first",
  },
  conflict: {
    sqlState: "MU008",
    status: 409,
    retryable: false,
    title: "The present state does not allow this",
    advice: "Read the resource again and act on its present state",
  },
  enrollment_token_invalid: {
    sqlState: "MU009",
    status: 401,
    retryable: false,
    title: "The enrollment token is unknown or revoked",
    advice: "Check that the token was copied in full, or ask for a new one",
  },
  enrollment_token_expired: {
    sqlState: "MU010",
    status: 401,
    retryable: false,
    title: "The enrollment token has expired",
    advice: "Ask for a new enrollment token",
  },
  enrollment_token_spent: {
    sqlState: "MU011",
    status: 409,
    retryable: false,
    title: "The enrollment token has no uses left",
    advice: "Ask for a new enrollment token, or one with more uses",
  },
  proof_invalid: {
    sqlState: "MU012",
    status: 401,
    retryable: false,
    title: "The device proof does not verify",
    advice: "Sign a new proof with the key that the worker enrolled with",
  },
  proof_replayed: {
    sqlState: "MU013",
    status: 401,
    retryable: false,
    title: "The device proof was used before",
    advice: "Sign a new proof with a new jti for every request",
  },
  worker_revoked: {
    sqlState: "MU014",
    status: 403,
    retryable: false,
    title: "The worker was revoked",
    advice: "Enroll the machine again with a new key and a new enrollment token",
  },
  too_many: {
    sqlState: "MU015",
    status: 422,
    retryable: false,
    title: "Too many items",
    advice: "Send fewer items in one request",
  },
  artifact_mismatch: {
    sqlState: "MU016",
    status: 422,
    retryable: false,
    title: "The bytes are not those declared",
    advice: "Create a new artifact with the size and sha256 of the bytes that are uploaded",
  },
  clock_skewed: {
    sqlState: "MU017",
    status: 401,
    retryable: false,
    title: "The device's clock is off",
    advice: "Set the machine's clock, for example by NTP, and try again",
  },
  rate_limited: {
    sqlState: "MU018",
    status: 429,
    retryable: true,
    title: "Too many requests",
    advice: "Wait as many seconds as Retry-After says, then send the same request again",
  },
  quota_exceeded: {
    sqlState: "MU019",
    status: 429,
    retryable: true,
    title: "The tenant's quota is used up",
    advice: "Wait until something has been freed, or ask an admin for a larger quota",
  },
  address_not_allowed: {
    sqlState: "MU020",
    status: 403,
    retryable: false,
    title: "The address is not one the enrollment token allows",
    advice: "Enroll from an address within the token's ranges, or ask for a token that allows this one",
  },
  secret_not_allowed: {
    sqlState: "MU021",
    status: 422,
    retryable: false,
    title: "The job may not use this secret",
    advice: "Check the secret's name, and that an admin allowed it for this type of job",
  },
  // A name from outside: clients of other systems know it.
  "E.CMD.CONCURRENCY_VIOLATION": {
    sqlState: "MU030",
    status: 409,
    retryable: true,
    title: "The concurrency key has no room",
    advice: "Submit the job again once one of the named jobs has ended, or let it wait or replace them",
  },
  no_match: {
    sqlState: "MU032",
    status: 409,
    retryable: false,
    title: "The worker cannot do the job",
    advice: "Name a worker that has what the job requires; GET /jobs/{id} tells what that is",
  },
  method_not_allowed: {
    sqlState: null,
    status: 405,
    retryable: false,
    title: "The route has no such method",
    advice: "Use a method named in the Allow header",
  },
  route_not_found: {
    sqlState: null,
    status: 404,
    retryable: false,
    title: "No such route",
    advice: "Compare the path with the OpenAPI document",
  },
  unsupported_media_type: {
    sqlState: null,
    status: 415,
    retryable: false,
    title: "The body is not JSON",
    advice: "Send the body as JSON with content-type: application/json",
  },
  unavailable: {
    sqlState: null,
    status: 503,
    retryable: true,
    title: "Temporarily unavailable",
    advice: "Try again after a moment, with growing pauses",
  },
  internal: {
    sqlState: null,
    status: 500,
    retryable: true,
    title: "Unexpected error",
    advice: "Try again, and report the correlation id if it stays",
  },
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof errorList;

/** One place of a request that does not fit, as listed in a problem document. */
export interface FieldError {
  readonly path: string;
  readonly message: string;
}

export interface MusterErrorOptions {
  /** What to do about it; the list's advice when left out. */
  readonly advice?: string | undefined;
  readonly errors?: readonly FieldError[] | undefined;
  /** ISO time of the server, given where the clocks differ. */
  readonly serverTime?: string | undefined;
  /** After how many seconds the same request may succeed, where that is known. */
  readonly retryAfterSeconds?: number | undefined;
  readonly correlationId?: string | undefined;
  readonly cause?: unknown;
}

/** Base of every error that Muster raises or receives; `code` is stable, `message` is for people. */
export class MusterError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly retryable: boolean;
  readonly advice: string;
  readonly errors: readonly FieldError[];
  readonly serverTime: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly correlationId: string | undefined;

  constructor(code: ErrorCode, message: string, options: MusterErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    const entry = errorList[code];
    this.name = new.target.name;
    this.code = code;
    this.status = entry.status;
    this.retryable = entry.retryable;
    this.advice = options.advice ?? entry.advice;
    this.errors = options.errors ?? [];
    this.serverTime = options.serverTime;
    this.retryAfterSeconds = options.retryAfterSeconds;
    this.correlationId = options.correlationId;
  }
}

type MusterErrorClass = new (message: string, options?: MusterErrorOptions) => MusterError;

function errorOf(code: ErrorCode): MusterErrorClass {
  return class extends MusterError {
    constructor(message: string, options?: MusterErrorOptions) {
      super(code, message, options);
    }
  };
}

export class UnauthenticatedError extends errorOf("unauthenticated") {}
export class ForbiddenError extends errorOf("forbidden") {}
export class NotFoundError extends errorOf("not_found") {}
export class InvalidRequestError extends errorOf("invalid_request") {}
export class PayloadTooLargeError extends errorOf("payload_too_large") {}
export class StaleAttemptError extends errorOf("stale_attempt") {}
export class SlotsExceededError extends errorOf("slots_exceeded") {}
export class ConflictError extends errorOf("conflict") {}
export class EnrollmentTokenInvalidError extends errorOf("enrollment_token_invalid") {}
export class EnrollmentTokenExpiredError extends errorOf("enrollment_token_expired") {}
export class EnrollmentTokenSpentError extends errorOf("enrollment_token_spent") {}
export class ProofInvalidError extends errorOf("proof_invalid") {}
export class ProofReplayedError extends errorOf("proof_replayed") {}
export class WorkerRevokedError extends errorOf("worker_revoked") {}
export class TooManyError extends errorOf("too_many") {}
export class ArtifactMismatchError extends errorOf("artifact_mismatch") {}
export class ClockSkewedError extends errorOf("clock_skewed") {}
export class RateLimitedError extends errorOf("rate_limited") {}
export class QuotaExceededError extends errorOf("quota_exceeded") {}
export class AddressNotAllowedError extends errorOf("address_not_allowed") {}
export class SecretNotAllowedError extends errorOf("secret_not_allowed") {}
export class ConcurrencyViolationError extends errorOf("E.CMD.CONCURRENCY_VIOLATION") {}
export class NoMatchError extends errorOf("no_match") {}
export class MethodNotAllowedError extends errorOf("method_not_allowed") {}
export class RouteNotFoundError extends errorOf("route_not_found") {}
export class UnsupportedMediaTypeError extends errorOf("unsupported_media_type") {}
export class UnavailableError extends errorOf("unavailable") {}
export class InternalError extends errorOf("internal") {}

/** The class named for each code. */
export const errorClasses: Readonly<Record<ErrorCode, MusterErrorClass>> = {
  unauthenticated: UnauthenticatedError,
  forbidden: ForbiddenError,
  not_found: NotFoundError,
  invalid_request: InvalidRequestError,
  payload_too_large: PayloadTooLargeError,
  stale_attempt: StaleAttemptError,
  slots_exceeded: SlotsExceededError,
  conflict: ConflictError,
  enrollment_token_invalid: EnrollmentTokenInvalidError,
  enrollment_token_expired: EnrollmentTokenExpiredError,
  enrollment_token_spent: EnrollmentTokenSpentError,
  proof_invalid: ProofInvalidError,
  proof_replayed: ProofReplayedError,
  worker_revoked: WorkerRevokedError,
  too_many: TooManyError,
  artifact_mismatch: ArtifactMismatchError,
  clock_skewed: ClockSkewedError,
  rate_limited: RateLimitedError,
  quota_exceeded: QuotaExceededError,
  address_not_allowed: AddressNotAllowedError,
  secret_not_allowed: SecretNotAllowedError,
  "E.CMD.CONCURRENCY_VIOLATION": ConcurrencyViolationError,
  no_match: NoMatchError,
  method_not_allowed: MethodNotAllowedError,
  route_not_found: RouteNotFoundError,
  unsupported_media_type: UnsupportedMediaTypeError,
  unavailable: UnavailableError,
  internal: InternalError,
};

/** Makes the error of a code, as an instance of the class named for it. */
export function musterError(code: ErrorCode, message: string, options?: MusterErrorOptions): MusterError {
  return new errorClasses[code](message, options);
}

export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === "string" && Object.hasOwn(errorList, value);
}
