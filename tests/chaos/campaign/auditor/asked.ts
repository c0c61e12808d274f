import type { SubmitJob } from "../../../../shared/contracts/jobs.ts";
import type { Evidence, JobRow } from "./evidence.ts";

/** What a job asked for besides its work, by what its app wrote down before it handed it in. */
export type Asked = Partial<SubmitJob>;

/** Finds it by the id of a job. A replay asks for the same as the job it repeats, but for what that one came after. */
export function askedOf({ roster, jobs, appJournals }: Evidence): (jobId: string) => Asked {
  const tenants = new Map(roster.tenants.map(({ tenant, tenantId }) => [tenantId, tenant]));
  const byKey = new Map(
    appJournals.flatMap(({ did, tenant, key, asked }) => did === "ask" && asked ? [[`${tenant}/${key}`, asked]] : []),
  );
  const rows = new Map(jobs.map((job) => [job.id, job]));
  const known = new Map<string, Asked>();

  function find({ tenant_id, idempotency_key, retry_of }: JobRow): Asked {
    const original = retry_of === null ? undefined : rows.get(retry_of);
    if (original === undefined) return byKey.get(`${tenants.get(tenant_id)}/${idempotency_key}`) ?? {};
    const { concurrencyPolicy: _, after: __, afterPolicy: ___, startBy: ____, ...same } = of(original.id);
    return same;
  }

  function of(jobId: string): Asked {
    let asked = known.get(jobId);
    if (asked === undefined) {
      const row = rows.get(jobId);
      known.set(jobId, asked = row === undefined ? {} : find(row));
    }
    return asked;
  }

  return of;
}
