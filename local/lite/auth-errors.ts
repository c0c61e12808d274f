/** A refusal in the words of the platform's Auth, which supabase-js turns into an AuthApiError. */
export class AuthError extends Error {
  constructor(
    readonly status: 400 | 401 | 403 | 404 | 422 | 500,
    readonly code: string,
    message: string,
    readonly details: Record<string, unknown> = {},
  ) {
    super(message);
  }

  toResponse(): Response {
    const { status, code, message, details } = this;
    return Response.json({ code: status, error_code: code, msg: message, ...details }, {
      status,
      headers: { "x-sb-error-code": code },
    });
  }
}

export const invalid = (message: string): AuthError => new AuthError(400, "validation_failed", message);
