import type { Evidence } from "./evidence.ts";
import { replay } from "./history.ts";
import type { Violation } from "./violation.ts";

/** I6: nobody was given, shown or granted anything of another tenant, or of an attempt that was not theirs. */
export function checkTenants({ roster, jobs, commits, workerJournals, appJournals }: Evidence): Violation[] {
  const found: Violation[] = [];
  const tenantOfId = new Map(roster.tenants.map(({ tenant, tenantId }) => [tenantId, tenant]));
  const tenantOfJob = new Map(jobs.map(({ id, tenant_id }) => [id, tenantOfId.get(tenant_id)]));
  const workers = new Map(roster.workers.map((worker) => [worker.workerId, worker]));

  replay(commits, ({ after, jobId }) => {
    const worker = after?.workerId ? workers.get(after.workerId) : undefined;
    if (worker !== undefined && worker.tenant !== tenantOfId.get(after!.tenantId)) {
      found.push({ kind: "tenant", what: `was given to ${worker.name} of ${worker.tenant}`, jobId });
    }
  });

  for (const { workerId, name, tenant, lies } of roster.workers) {
    for (const entry of workerJournals.get(workerId) ?? []) {
      if (entry.did === "begin" && (entry.tenant !== tenant || tenantOfJob.get(entry.job!) !== tenant)) {
        found.push({ kind: "tenant", what: `${name} of ${tenant} began it`, jobId: entry.job! });
      }
      if (lies) found.push(...wrongAnswers(entry, name, tenant, roster.tenants.map((each) => each.tenant)));
    }
  }

  for (const { did, app, tenant, jobs: shown = [], job, got } of appJournals) {
    for (const jobId of shown) {
      if (tenantOfJob.get(jobId) !== tenant) {
        found.push({ kind: "tenant", what: `${app} of ${tenant} was shown it`, jobId });
      }
    }
    if (did === "peek" && got !== null) {
      found.push({ kind: "tenant", what: `${app} of ${tenant} got it when it asked`, jobId: job! });
    }
  }
  return found;
}

/** What the lying worker should not have been answered. */
function wrongAnswers(
  entry: Readonly<Record<string, unknown>> & { readonly did: string },
  name: string,
  tenant: string,
  tenants: readonly string[],
): Violation[] {
  const found: Violation[] = [];
  const text = JSON.stringify(entry);
  for (const other of tenants) {
    if (other !== tenant && text.includes(other)) {
      found.push({ kind: "tenant", what: `${name} was shown data of ${other}: ${text.slice(0, 300)}` });
    }
  }
  if (entry.did === "forge") {
    const { outcomes = [] } = (entry["got"] ?? {}) as { outcomes?: { job_id: string; outcome: string }[] };
    for (const { job_id, outcome } of outcomes) {
      if (outcome !== "stale") {
        found.push({ kind: "stale", what: `${name} ended an attempt it did not hold: ${outcome}`, jobId: job_id });
      }
    }
  }
  // SQLSTATE class 23: only a constraint stopped it.
  const { code = "" } = (entry["got"] ?? {}) as { code?: unknown };
  if (String(code).startsWith("23")) {
    found.push({ kind: "stale", what: `${name} got as far as a constraint: ${text.slice(0, 300)}` });
  }
  if (entry.did === "flood" && Number(entry["accepted"] ?? 0) > 0) {
    found.push({ kind: "stale", what: `${name} told ${entry["accepted"]} events of attempts it did not hold` });
  }
  if (entry.did === "reach" && Array.isArray(entry["got"]) && entry["got"].length > 0) {
    found.push({ kind: "tenant", what: `${name} was shown rows at ${entry["path"]}` });
  }
  if (entry.did === "listen") {
    const heard = entry["heard"] as { event?: string; payload?: { status?: string } }[];
    if (heard.some(({ event, payload }) => event === "broadcast" || payload?.status === "ok")) {
      found.push({ kind: "tenant", what: `${name} was let into ${entry["topic"]}` });
    }
  }
  return found;
}
