import { type ErrorCode, errorList, isErrorCode } from "../../shared/errors.ts";
import { Problem } from "../../shared/http/responses.ts";
import { type Json, misfits, resolve } from "../support/json-schema.ts";
import type { FuzzAnswer, FuzzRequest } from "./request.ts";
import { markOfOthers, type World } from "./world.ts";

/** What is wrong with an answer: the rule that it breaks, and how. */
export interface Verdict {
  readonly rule: string;
  readonly why: string;
}

/** Answers that tell of what is behind the door. */
const leaks: ReadonlyArray<readonly [string, RegExp]> = [
  ["a schema", /muster_private|pg_catalog|information_schema/],
  ["a SQL function", /\b(submit_jobs|enroll_worker|resolve_caller|current_worker)\b/],
  ["PostgREST", /PGRST\d|postgrest/i],
  ["a SQLSTATE", /\bSQLSTATE\b|\bMU0\d\d\b/],
  [
    "an error of Postgres",
    /violates (check|unique|foreign|not-null)|relation "|column "|syntax error at|invalid input syntax/,
  ],
  ["SQL", /\b(select .+ from|insert into|update .+ set) (muster|auth|public)\b/i],
  ["a stack trace", /\n\s+at .+\(|\bat (file|node|ext):|\.ts:\d+:\d+/],
  ["an error of JavaScript", /\b(TypeError|ReferenceError|RangeError|SyntaxError|ZodError)\b|is not a function/],
  ["a path", /file:\/\/|\/(home|root|usr|work|tmp)\/[\w.-]+\/|node_modules/],
];

/** How a request is refused that is not what the document asks for. */
const refusedForShape: ReadonlySet<ErrorCode> = new Set([
  "invalid_request",
  "unsupported_media_type",
  "payload_too_large",
  "too_many",
  "route_not_found",
  "method_not_allowed",
]);

/** Judges answers by what the document promises; answers null when all is well. */
export type Judge = (request: FuzzRequest, answer: FuzzAnswer) => Verdict | null;

export function createJudge(document: Json, world: Pick<World, "secrets" | "credentialsOfOthers">): Judge {
  const misfit = misfits(document);
  const operations = new Map<string, Json>(
    Object.values<Json>(document.paths).flatMap((methods) => Object.values<Json>(methods))
      .map((operation) => [operation.operationId, operation]),
  );

  function judge(request: FuzzRequest, answer: FuzzAnswer): Verdict | null {
    if (answer.status >= 500) return { rule: "no 5xx", why: `${answer.status} ${answer.text.slice(0, 300)}` };
    return leaked(request, answer) ??
      (request.method === "HEAD" || request.method === "OPTIONS"
        ? null
        : answer.status >= 400
        ? problemOf(request, answer)
        : request.aimed
        ? promised(request, answer)
        : null);
  }

  function leaked(request: FuzzRequest, { headers, text }: FuzzAnswer): Verdict | null {
    // JSON writes a quotation mark and the end of a line in its own way.
    const all = `${JSON.stringify(headers)}\n${text.replaceAll('\\"', '"').replaceAll("\\n", "\n")}`;
    const secret = world.secrets.find((secret) => all.includes(secret));
    if (secret !== undefined) return { rule: "no secrets", why: `it holds ${secret.slice(0, 8)}…` };
    if (all.includes(markOfOthers) && !world.credentialsOfOthers.has(request.credential)) {
      return { rule: "tenants stay apart", why: excerpt(all, markOfOthers) };
    }
    // The API's own description tells of SQLSTATEs and functions, to be read.
    if (
      /^\/functions\/v1\/(api\/|\w+\/openapi\.json)/.test(request.path.replaceAll("\\", "/")) &&
      !text.includes('"correlationId"')
    ) {
      return null;
    }
    for (const [what, pattern] of leaks) {
      const found = pattern.exec(all)?.[0];
      if (found !== undefined && !sent(request).includes(found)) {
        return { rule: "no internals", why: `${what}: ${excerpt(all, found)}` };
      }
    }
    return null;
  }

  function problemOf(request: FuzzRequest, { status, headers, text }: FuzzAnswer): Verdict | null {
    const bad = (why: string): Verdict => ({ rule: "errors are problems", why: `${status}: ${why}` });
    // What never reached a function: refused as HTTP, or no function of ours.
    if (headers["x-correlation-id"] === undefined && !request.aimed) return null;
    if (headers["content-type"] !== "application/problem+json") return bad(`content-type ${headers["content-type"]}`);
    const parsed = Problem.strict().safeParse(jsonOf(text));
    if (!parsed.success) return bad(parsed.error.message);
    const { code, correlationId, status: told } = parsed.data;
    if (told !== status || errorList[code].status !== status) return bad(`it says ${told} for ${code}`);
    if (correlationId !== headers["x-correlation-id"]) return bad("its correlation id is not that of the header");
    if (headers["access-control-allow-origin"] !== "*") return bad("a page could not read it");
    if (status === 401 && headers["www-authenticate"] === undefined) return bad("401 without a challenge");
    if (status === 429 && !/^\d+$/.test(headers["retry-after"] ?? "")) return bad("429 without Retry-After");
    if (request.fits && request.aimed && refusedForShape.has(code)) {
      return { rule: "what fits the document is taken", why: `${code}: ${parsed.data.detail}` };
    }
    if (!request.aimed && (code === "route_not_found" || code === "method_not_allowed")) return null;
    const documented = codesOf(request.operationId);
    if (documented !== "any" && request.aimed && !documented.has(code)) {
      return {
        rule: "problems are documented",
        why: `${request.operationId} does not list ${code}: ${parsed.data.detail}`,
      };
    }
    return null;
  }

  function codesOf(operationId: string): ReadonlySet<ErrorCode> | "any" {
    const { responses } = operations.get(operationId);
    if (responses.default !== undefined) return "any";
    const listed = Object.values<Json>(responses).flatMap((response) =>
      resolve(document, response).content?.["application/problem+json"]?.schema.allOf[1].properties.code.enum ?? []
    );
    return new Set(listed.filter(isErrorCode));
  }

  function promised(request: FuzzRequest, { status, headers, text }: FuzzAnswer): Verdict | null {
    const bad = (why: string): Verdict => ({ rule: "answers are as documented", why: `${status}: ${why}` });
    const response = resolve(document, operations.get(request.operationId).responses[String(status)]);
    if (response === undefined) return bad("not documented");
    if (headers["x-correlation-id"] === undefined) return bad("without x-correlation-id");
    if (response.content === undefined) return text === "" ? null : bad("a body where none is documented");
    const type = headers["content-type"]?.split(";")[0] ?? "";
    const schema = response.content[type]?.schema;
    if (schema === undefined) return bad(`content-type ${type}`);
    if (type !== "application/json") return null;
    const why = misfit(schema, jsonOf(text));
    return why === null ? null : bad(why);
  }

  return judge;
}

/** What the request itself holds may come back in an answer. */
function sent({ path, headers, body }: FuzzRequest): string {
  const text = body === null ? "" : "text" in body ? body.text : "";
  return `${decoded(path)}\n${JSON.stringify(headers)}\n${text}`;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

function excerpt(text: string, found: string): string {
  const at = text.indexOf(found);
  return text.slice(Math.max(0, at - 100), at + found.length + 100);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
