import fc from "fast-check";
import { project } from "../support/project.ts";
import type { Json } from "../support/json-schema.ts";
import { sendPatiently } from "./fuzz.ts";
import { mutated } from "./mutate.ts";
import { hostileJson } from "./hostile-values.ts";
import { asCurl, type FuzzRequest } from "./request.ts";
import { schemaArbitraries } from "./schema-arbitrary.ts";
import type { Finding, FuzzReport } from "./fuzz.ts";
import { markOfOthers, type World } from "./world.ts";

const attempt = {
  type: "object",
  properties: { job_id: { type: "string", format: "uuid" }, attempt: { type: "integer", minimum: 0, maximum: 30 } },
  required: ["job_id", "attempt"],
};
const running = { type: "array", items: attempt, maxItems: 300 };
const names = { type: "array", items: { type: "string", pattern: "^[a-z][a-z0-9/]{0,9}$" }, maxItems: 100 };

/** The functions that workers call on the Data API, with what they take; the document of the functions tells nothing of them. */
const rpcs: Readonly<Record<string, Json>> = {
  hello: {
    type: "object",
    properties: {
      worker: {
        type: "object",
        properties: {
          capabilities: names,
          labels: { type: "object", additionalProperties: { type: "string" } },
          slots: { type: "integer", minimum: 1, maximum: 256 },
          listening: { type: "boolean" },
          version: { type: "string", maxLength: 100 },
        },
      },
      running,
    },
    required: ["worker"],
  },
  heartbeat: {
    type: "object",
    properties: {
      running,
      listening: { type: "boolean" },
      wake_nonce: { type: "string", maxLength: 100 },
      metrics: {},
    },
    required: ["running"],
  },
  claim_jobs: { type: "object", properties: { want: { type: "integer", minimum: 0, maximum: 256 } } },
  report_events: {
    type: "object",
    properties: {
      events: {
        type: "array",
        maxItems: 500,
        items: {
          type: "object",
          properties: {
            ...attempt.properties,
            number: { type: "integer", minimum: 1 },
            kind: { type: "string", enum: ["progress", "log", "chunk"] },
            data: {},
          },
          required: ["job_id", "attempt", "number", "kind", "data"],
        },
      },
    },
    required: ["events"],
  },
  complete_jobs: {
    type: "object",
    properties: {
      results: {
        type: "array",
        maxItems: 256,
        items: {
          type: "object",
          properties: {
            ...attempt.properties,
            status: { type: "string", enum: ["succeeded", "failed", "released"] },
            result: {},
            error: {
              type: "object",
              properties: {
                code: { type: "string", maxLength: 50 },
                message: { type: "string", maxLength: 50 },
                retryable: { type: "boolean" },
              },
            },
          },
          required: ["job_id", "attempt", "status"],
        },
      },
      want: { type: "integer", minimum: 0, maximum: 256 },
    },
    required: ["results"],
  },
  hold_resources: {
    type: "object",
    properties: {
      resources: {
        type: "array",
        maxItems: 100,
        items: {
          type: "object",
          properties: {
            name: { type: "string", minLength: 1, maxLength: 255 },
            lease_seconds: { type: "number", minimum: 10, maximum: 604800 },
            size_bytes: { type: "integer", minimum: 0 },
            metadata: { type: "object" },
          },
          required: ["name"],
        },
      },
    },
    required: ["resources"],
  },
  release_resources: {
    type: "object",
    properties: {
      names: { type: "array", maxItems: 1000, items: { type: "string", maxLength: 255 } },
      reason: { type: "string", enum: ["released", "evicted"] },
    },
    required: ["names"],
  },
  goodbye: { type: "object", properties: { reason: { type: "string", maxLength: 200 } } },
  authorize_secrets: { type: "object", properties: { caller: {} } },
};

/**
 * What a call may be refused with: one of our errors, data that does not fit (class 22), arguments or a body that the Data
 * API itself refuses. A broken constraint, a missing object or an exception without a code is a fault.
 */
const allowedCodes = /^(MU\d{3}|22...|PGRST\d+|42501|54001|54000)$/;

/** Fuzzes the functions that workers call, as a worker of each tenant. */
export async function fuzzWorkerRpcs(world: World, requests: number, seed: number): Promise<FuzzReport> {
  const schemas = schemaArbitraries({}, world.offer.ids);
  const statuses = new Map<string, Map<number, number>>();
  const findings: Finding[] = [];
  let sent = 0;
  const count = Math.ceil(requests / Object.keys(rpcs).length);
  await Promise.all(
    Object.entries(rpcs).map(async ([name, schema]) => {
      const ofRpc = new Map<number, number>();
      statuses.set(`rpc ${name}`, ofRpc);
      const fitting = schemas.fitting(schema);
      const text = (value: unknown): string => JSON.stringify(value) ?? "";
      const body = fc.oneof(
        { weight: 4, arbitrary: fitting.map(text) },
        { weight: 5, arbitrary: mutated(fitting).map(text) },
        { weight: 1, arbitrary: hostileJson },
      );
      const property = fc.asyncProperty(body, fc.nat(world.workerTokens.length - 1), async (body, who) => {
        const request = await world.fill(requestOf(name, body, world.workerTokens[who]!));
        const answer = await sendPatiently(project.url, request);
        if (answer === null) return;
        sent++;
        const status = answer instanceof Error ? 0 : answer.status;
        ofRpc.set(status, (ofRpc.get(status) ?? 0) + 1);
        const why = answer instanceof Error ? answer.message : wrong(answer.status, answer.text, who === 0);
        if (why === null) return;
        last = {
          operationId: `rpc ${name}`,
          rule: "the Data API refuses cleanly",
          why,
          curl: asCurl(project.url, request),
        };
        throw new Error(why);
      });
      let last: Finding | undefined;
      const { failed } = await fc.check(property, { numRuns: count, seed });
      if (failed) findings.push(last ?? { operationId: name, rule: "requests can be made", why: "none", curl: "" });
    }),
  );
  return { sent, statuses, findings };
}

function requestOf(name: string, body: string, token: string): FuzzRequest {
  return {
    operationId: name,
    method: "POST",
    path: `/rest/v1/rpc/${name}`,
    headers: {
      apikey: project.publishableKey,
      authorization: `Bearer ${token}`,
      "content-profile": "muster",
      "content-type": "application/json",
    },
    body: { text: body },
    credential: "none",
    fits: false,
    aimed: true,
  };
}

function wrong(status: number, text: string, isOurs: boolean): string | null {
  if (status >= 500) return `${status} ${text.slice(0, 300)}`;
  if (isOurs && text.includes(markOfOthers)) return `It tells of another tenant: ${text.slice(0, 300)}`;
  if (status < 400) return null;
  const { code } = JSON.parse(text || "{}") as { code?: string };
  return allowedCodes.test(code ?? "") ? null : `${status} ${text.slice(0, 300)}`;
}
