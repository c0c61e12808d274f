import fc from "fast-check";
import type { Json } from "../support/json-schema.ts";
import { createJudge } from "./judge.ts";
import { asCurl, type FuzzAnswer, type FuzzRequest } from "./request.ts";
import { requestsOf } from "./request-arbitrary.ts";
import { send } from "./send.ts";
import type { World } from "./world.ts";

export interface FuzzOptions {
  readonly url: string;
  readonly document: Json;
  readonly world: World;
  readonly requests: number;
  readonly seed: number;
  /** Operations that are fuzzed at the same time. */
  readonly parallel?: number;
}

export interface Finding {
  readonly operationId: string;
  readonly rule: string;
  readonly why: string;
  /** The smallest request found that shows it, to be repeated by hand. */
  readonly curl: string;
}

export interface FuzzReport {
  readonly sent: number;
  /** How often each operation answered each status. */
  readonly statuses: ReadonlyMap<string, ReadonlyMap<number, number>>;
  readonly findings: readonly Finding[];
}

/** As often is a request sent that the server was too busy or too limited for. */
const tries = 5;

/**
 * Sends requests made from the document to every operation, as many to each, and judges the answers. What is found is
 * made as small as it goes; the same finding is told once.
 */
export async function fuzz({ url, document, world, requests, seed, parallel = 4 }: FuzzOptions): Promise<FuzzReport> {
  const judge = createJudge(document, world);
  const statuses = new Map<string, Map<number, number>>();
  const findings: Finding[] = [];
  let sent = 0;

  async function fuzzOperation(
    operationId: string,
    arbitrary: fc.Arbitrary<FuzzRequest>,
    count: number,
  ): Promise<void> {
    const ofOperation = new Map<number, number>();
    statuses.set(operationId, ofOperation);
    const found = new Set<string>();
    for (let left = count; left > 0;) {
      let last: Omit<Finding, "operationId"> | undefined;
      const property = fc.asyncProperty(arbitrary, async (request) => {
        const filled = await world.fill(request);
        const answer = await sendPatiently(url, filled);
        if (answer === null) return;
        sent++;
        const status = answer instanceof Error ? 0 : answer.status;
        ofOperation.set(status, (ofOperation.get(status) ?? 0) + 1);
        const verdict = answer instanceof Error
          ? { rule: "every request is answered", why: answer.message }
          : judge(filled, answer);
        if (verdict === null || found.has(signature(verdict))) return;
        // While it is made smaller it must stay the same finding.
        if (last !== undefined && signature(last) !== signature(verdict)) return;
        last = { ...verdict, curl: asCurl(url, filled) };
        throw new Error(verdict.why);
      });
      const { failed, numRuns } = await fc.check(property, { numRuns: left, seed: seed + left });
      left -= numRuns;
      if (!failed) break;
      if (last === undefined) throw new Error(`Cannot fuzz ${operationId}: a request could not be made`);
      found.add(signature(last));
      findings.push({ operationId, ...last });
    }
  }

  const operations = [...requestsOf(document, world.offer)];
  const count = Math.ceil(requests / operations.length);
  await Promise.all(Array.from({ length: parallel }, async () => {
    for (let next = operations.shift(); next !== undefined; next = operations.shift()) {
      await fuzzOperation(next[0], next[1], count);
    }
  }));
  return { sent, statuses, findings };
}

/** Ids and numbers differ from one request to the next; the finding is the same. */
function signature({ rule, why }: { readonly rule: string; readonly why: string }): string {
  return `${rule}: ${why.replace(/[0-9a-f-]{8,}|\d+/g, "#").slice(0, 80)}`;
}

/**
 * Sends again, after the pause asked for, while the server says that it is busy, or ends the connection. Null when the
 * request cannot be written as HTTP, the error when no answer comes.
 */
export async function sendPatiently(url: string, request: FuzzRequest): Promise<FuzzAnswer | Error | null> {
  for (let attempt = 1;; attempt++) {
    try {
      const answer = await send(url, request);
      if (answer === null || attempt === tries || (answer.status !== 429 && answer.status !== 503)) return answer;
      const pause = Number(answer.headers["retry-after"] ?? 1);
      await new Promise((resolve) => setTimeout(resolve, Math.min(pause, 2) * 1000));
    } catch (error) {
      if (attempt === tries) return error instanceof Error ? error : new Error(String(error));
    }
  }
}
