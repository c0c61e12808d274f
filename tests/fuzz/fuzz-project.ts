import postgres from "postgres";
import { violations } from "../support/invariants.ts";
import type { Json } from "../support/json-schema.ts";
import { project } from "../support/project.ts";
import { fuzz, type FuzzReport } from "./fuzz.ts";
import { fuzzWorkerRpcs } from "./worker-rpcs.ts";
import { createWorld } from "./world.ts";

/** Of so many requests at least one in ten goes to the functions that workers call. */
const shareOfRpcs = 0.1;

/** Beyond this share of 429 the limits are what was tested: the world's tenants need higher ones. */
const mostLimited = 0.2;

export interface FuzzResult {
  readonly sent: number;
  /** What was found, in words; empty when nothing was. */
  readonly problems: readonly string[];
  /** The report: requests by operation and status, and the findings. */
  readonly text: string;
}

/** Fuzzes every door of the project that the environment names, and looks at its state afterwards. */
export async function fuzzProject({ requests, seed }: { requests: number; seed: number }): Promise<FuzzResult> {
  const document: Json = await (await fetch(`${project.url}/functions/v1/api/openapi.json`)).json();
  const world = await createWorld();
  const ofRpcs = Math.ceil(requests * shareOfRpcs);
  const reports = [
    await fuzz({ url: project.url, document, world, requests: requests - ofRpcs, seed }),
    await fuzzWorkerRpcs(world, ofRpcs, seed),
  ];
  const sent = reports.reduce((sum, report) => sum + report.sent, 0);
  const findings = reports.flatMap((report) => report.findings);
  const problems = [
    ...findings.map(({ operationId, rule, why, curl }) => `${operationId}: ${rule}: ${why}\n    ${curl}`),
    ...await afterwards(),
  ];
  const statuses = reports.flatMap((report) => [...report.statuses]);
  const all = (status: number): number => statuses.reduce((sum, [, counts]) => sum + (counts.get(status) ?? 0), 0);
  if (all(429) > sent * mostLimited) problems.push(`${all(429)} of ${sent} requests were refused by limits`);
  if (all(200) + all(201) < sent * 0.1) problems.push(`Only ${all(200) + all(201)} of ${sent} requests were accepted`);
  return { sent, problems, text: textOf(sent, statuses, problems) };
}

/** What is wrong with the project once it was fuzzed. */
async function afterwards(): Promise<string[]> {
  const health = await (await fetch(`${project.url}/functions/v1/health`)).json();
  const parts = Object.entries<Json>(health.checks).filter(([, { status }]) => status !== "ok").map(([name]) => name);
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    return [
      ...parts.map((name) => `${name} does not work any more`),
      ...(await violations(sql)).map((violation) => `an invariant is broken: ${violation}`),
    ];
  } finally {
    await sql.end();
  }
}

function textOf(
  sent: number,
  statuses: [string, FuzzReport["statuses"] extends ReadonlyMap<string, infer C> ? C : never][],
  problems: string[],
): string {
  const lines = statuses.map(([name, counts]) => {
    const each = [...counts].sort(([a], [b]) => a - b).map(([status, count]) => `${status || "none"} × ${count}`);
    const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
    return `${name.padEnd(20)} ${String(total).padStart(6)}   ${each.join(", ")}`;
  });
  return [...lines, "", `${sent} requests, ${problems.length} findings`, ...problems.map((problem) => `- ${problem}`)]
    .join("\n");
}
