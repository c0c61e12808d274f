import type { OpenAPIHono } from "@hono/zod-openapi";
import { type ErrorCode, errorList, musterError } from "../errors.ts";
import { problem, problemContentType } from "../problem.ts";
import { ownCodes } from "./responses.ts";

type Document = ReturnType<OpenAPIHono["getOpenAPI31Document"]>;

/** As much of an operation as is completed here. */
interface Operation {
  tags?: string[];
  security?: Record<string, string[]>[];
  parameters?: unknown[];
  requestBody?: unknown;
  responses: Record<string, unknown>;
  [ownCodes]?: readonly ErrorCode[];
}

const tagDescriptions: Readonly<Record<string, string>> = {
  enroll: "Machines: let in by an enrollment token and a key of their own, which renews their short tokens",
  jobs: "Work: submitted, watched, cancelled and repeated",
  schedules: "Jobs that are submitted again and again, when a cron expression says so",
  artifacts: "Files that jobs read and write, by presigned URLs",
  workers: "The fleet: machines that were let in, and what they do",
  health: "How the parts of the control plane are",
  tenants: "Tenants, their members and the API keys of their apps",
  secrets: "Named secrets that jobs may use",
  audit: "The record of who did what",
  api: "What describes the API itself, to anybody",
};

const methods = ["get", "post", "put", "patch", "delete"] as const;

/**
 * Adds to a generated OpenAPI document what is true of every operation of some shape and is therefore written once:
 * the headers of requests and answers, the problems that any such operation can answer, the descriptions of tags.
 */
export function completeDocument(document: Document): Document {
  const operations = Object.values(document.paths ?? {}).flatMap((path) =>
    methods.map((method) => path[method] as unknown as Operation | undefined).filter((found) => found !== undefined)
  );
  const responses: Record<string, unknown> = {};
  for (const operation of operations) completeOperation(operation, responses);
  const used = new Set(operations.flatMap(({ tags }) => tags ?? []));
  return {
    ...document,
    tags: [...used].map((name) => ({ name, ...described(tagDescriptions[name]) })),
    components: {
      ...document.components,
      parameters: { ...document.components?.parameters, CorrelationId: correlationId, TenantId: tenantId },
      headers: {
        ...document.components?.headers,
        CorrelationId: { description: "The request's id, as the logs carry it", schema: { type: "string" } },
        RetryAfter: { description: "Seconds to wait before the next try", schema: { type: "integer", minimum: 0 } },
      },
      responses: { ...document.components?.responses, ...responses } as never,
    },
  };
}

function completeOperation(operation: Operation, responses: Record<string, unknown>): void {
  const authenticated = (operation.security?.length ?? 0) > 0;
  const refuses = authenticated && !operation.security!.some((scheme) => Object.keys(scheme).length === 0);
  operation.parameters = [
    ...(operation.parameters ?? []),
    ...(authenticated ? [{ $ref: "#/components/parameters/TenantId" }] : []),
    { $ref: "#/components/parameters/CorrelationId" },
  ];
  for (const parameter of operation.parameters) withoutNull(parameter as { schema?: { type?: unknown } });
  operation.security ??= [];
  for (const answer of Object.values(operation.responses) as { headers?: object; content?: object }[]) {
    answer.headers = { ...answer.headers, "x-correlation-id": { $ref: "#/components/headers/CorrelationId" } };
  }

  const own = operation[ownCodes];
  delete operation[ownCodes];
  const takesParameters = operation.parameters.some((parameter) => !Object.hasOwn(parameter as object, "$ref"));
  const takesBody = operation.requestBody !== undefined;
  const codes: ErrorCode[] = [
    ...(takesBody ? ["unsupported_media_type", "payload_too_large", "too_many"] as const : []),
    ...(takesBody || takesParameters || refuses ? ["invalid_request"] as const : []),
    ...(refuses ? ["unauthenticated", "forbidden", "not_found"] as const : []),
    ...(own ?? []),
    "rate_limited",
    "internal",
    "unavailable",
  ];
  // Whoever lists the route's own problems lists them all.
  if (own !== undefined) delete operation.responses["default"];
  for (const [status, ofStatus] of Object.entries(byStatus([...new Set(codes)]))) {
    const name = [...ofStatus].sort().join(".");
    responses[name] ??= problemResponse(Number(status), ofStatus);
    operation.responses[status] ??= { $ref: `#/components/responses/${name}` };
  }
}

/** A number read from text is documented as one that may be null; a query knows no null. */
function withoutNull({ schema }: { schema?: { type?: unknown } }): void {
  if (schema === undefined || !Array.isArray(schema.type)) return;
  const types = schema.type.filter((type) => type !== "null");
  schema.type = types.length === 1 ? types[0] : types;
}

function byStatus(codes: readonly ErrorCode[]): Record<string, ErrorCode[]> {
  return Object.groupBy(codes, (code) => String(errorList[code].status)) as Record<string, ErrorCode[]>;
}

function problemResponse(status: number, codes: readonly ErrorCode[]): object {
  const example = (code: ErrorCode) => problem(musterError(code, errorList[code].title), "order-7");
  return {
    description: codes.map((code) => `\`${code}\`: ${errorList[code].title}`).join("; "),
    headers: {
      "x-correlation-id": { $ref: "#/components/headers/CorrelationId" },
      ...(status === 429 ? { "retry-after": { $ref: "#/components/headers/RetryAfter" } } : {}),
    },
    content: {
      [problemContentType]: {
        schema: {
          allOf: [{ $ref: "#/components/schemas/Problem" }, {
            type: "object",
            properties: { code: { type: "string", enum: [...codes] } },
          }],
        },
        examples: Object.fromEntries(codes.map((code) => [code, { value: example(code) }])),
      },
    },
  };
}

function described(description: string | undefined): { description?: string } {
  return description === undefined ? {} : { description };
}

const correlationId = {
  name: "x-correlation-id",
  in: "header",
  required: false,
  description: "Follows the request through logs and problem documents; made when left out, or when it does not fit",
  schema: { type: "string", maxLength: 255 },
  example: "order-7",
} as const;

const tenantId = {
  name: "x-tenant-id",
  in: "header",
  required: false,
  description:
    "The tenant that a secret key acts for, or a user who is a member of several; an API key has its own, and may name it",
  schema: { type: "string", format: "uuid" },
} as const;
