import type { PostgresError } from "postgres";

/** An answer in the form that PostgREST gives errors. */
export function errorAnswer(
  status: number,
  code: string,
  message: string,
  details: string | null,
  hint: string | null,
  headers: Record<string, string> = {},
): Response {
  return new Response(JSON.stringify({ code, details, hint, message }), {
    status,
    headers: { "content-type": "application/json; charset=utf-8", ...headers },
  });
}

/** What PostgREST answers for an error of the database. */
export function databaseErrorAnswer(error: PostgresError, authenticated: boolean): Response {
  const status = statusOf(error.code, authenticated);
  const headers: Record<string, string> = status === 401 ? { "www-authenticate": "Bearer" } : {};
  return errorAnswer(status, error.code, error.message, error.detail ?? null, error.hint ?? null, headers);
}

const byState: Record<string, number> = {
  "23503": 409,
  "23505": 409,
  "25006": 405,
  "42883": 404,
  "42P01": 404,
  "42P17": 500,
  "53400": 500,
  "57P01": 503,
  P0001: 400,
};

const byClass: Record<string, number> = {
  "08": 503,
  "09": 500,
  "0L": 403,
  "0P": 403,
  "25": 500,
  "28": 403,
  "2D": 500,
  "38": 500,
  "39": 500,
  "3B": 500,
  "40": 500,
  "53": 503,
  "54": 500,
  "55": 500,
  "57": 500,
  "58": 500,
  F0: 500,
  HV: 500,
  P0: 500,
  XX: 500,
};

function statusOf(state: string, authenticated: boolean): number {
  if (state === "42501") return authenticated ? 403 : 401;
  const custom = /^PT([1-5]\d\d)$/.exec(state)?.[1];
  return custom ? Number(custom) : byState[state] ?? byClass[state.slice(0, 2)] ?? 400;
}
