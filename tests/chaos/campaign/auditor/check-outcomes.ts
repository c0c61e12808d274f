import type { AppEntry, Evidence } from "./evidence.ts";
import { isTerminal, replay } from "./history.ts";
import type { Violation } from "./violation.ts";

const terminal = new Set(["succeeded", "failed", "cancelled"]);

/** I1, I2, I3: every submitted job exists, has one end, keeps it, and is the only one of its key. */
export function checkOutcomes({ roster, jobs, events, letters, commits, appJournals }: Evidence): Violation[] {
  const found: Violation[] = [];
  const rows = new Map(jobs.map((job) => [job.id, job]));
  const tenantIds = new Map(roster.tenants.map(({ tenant, tenantId }) => [tenant, tenantId]));

  const endEvents = new Map<string, number>();
  for (const { job_id, kind, data } of events) {
    if (kind === "status" && terminal.has(data.status ?? "")) endEvents.set(job_id, (endEvents.get(job_id) ?? 0) + 1);
  }

  for (const [name, answers] of byKey(appJournals)) {
    const ids = new Set(answers.filter(({ did }) => did === "submit").map(({ job }) => job!));
    const { key = "", tenant } = answers[0]!;
    const isRefused = answers.some(({ did }) => did === "refuse");
    if (ids.size === 0 && !isRefused) {
      found.push({ kind: "lost", what: `${name} was handed in and never answered` });
    }
    if (ids.size > 0 && isRefused) found.push({ kind: "doubled", what: `${name} was refused and answered` });
    if (ids.size > 1) found.push({ kind: "doubled", what: `${name} was answered as ${[...ids].join(" and ")}` });
    if (answers.filter(({ created }) => created).length > 1) {
      found.push({ kind: "doubled", what: `${name} was created twice, by the answers`, jobId: [...ids][0]! });
    }
    for (const jobId of ids) {
      const row = rows.get(jobId);
      if (row === undefined) {
        found.push({ kind: "lost", what: `${name} was answered as a job that does not exist`, jobId });
      } else if (row.idempotency_key !== key || row.tenant_id !== tenantIds.get(tenant)) {
        found.push({ kind: "doubled", what: `${name} was answered as the job of ${row.idempotency_key}`, jobId });
      }
    }
  }

  const asked = new Set(
    [...byKey(appJournals)].flatMap(([name, answers]) => answers.every(({ did }) => did !== "refuse") ? [name] : []),
  );
  const repeated = new Map(letters.flatMap(({ job_id, replayed_as }) => replayed_as ? [[replayed_as, job_id]] : []));
  const scheduled = new Set(roster.schedules?.map(({ id }) => id));
  const tenants = new Map(roster.tenants.map(({ tenant, tenantId }) => [tenantId, tenant]));
  const rowsOfKey = new Map<string, string>();
  for (const { id, tenant_id, status, idempotency_key, retry_of, message } of jobs) {
    const tenant = tenants.get(tenant_id);
    if (tenant === undefined) continue;
    // What comes from elsewhere than an app has its own checks.
    const name = idempotency_key === null
      ? `${tenant}, a replay of ${retry_of} or message ${message?.id}`
      : `${tenant}/${idempotency_key}`;
    const isAsked = message !== null || scheduled.has(/^schedule:([^:]+):/.exec(idempotency_key ?? "")?.[1] ?? "") ||
      (retry_of === null ? asked.has(name) : repeated.get(id) === retry_of);
    if (!isAsked) found.push({ kind: "doubled", what: `nobody handed in ${name}`, jobId: id });
    const other = rowsOfKey.get(name);
    if (other !== undefined) found.push({ kind: "doubled", what: `${name} is also job ${other}`, jobId: id });
    rowsOfKey.set(name, id);
    if (!terminal.has(status)) found.push({ kind: "lost", what: `is still ${status}`, jobId: id });
    const ends = endEvents.get(id) ?? 0;
    if (ends === 0) found.push({ kind: "lost", what: "has no end among its events", jobId: id });
    if (ends > 1) found.push({ kind: "doubled", what: `has ${ends} ends among its events`, jobId: id });
  }

  const last = new Map<string, string>();
  replay(commits, ({ after, jobId }) => void (after && last.set(jobId, `${after.status}, attempt ${after.attempt}`)));
  for (const { id, status, attempts } of jobs) {
    if (last.get(id) === `${status}, attempt ${attempts}`) continue;
    found.push({ kind: "unproven", what: `the log ends with ${last.get(id) ?? "nothing"} of it`, jobId: id });
  }

  const attempts = new Map<string, { workerId: string; runs: number }>();
  replay(commits, ({ before, after, jobId }) => {
    if (after === undefined) found.push({ kind: "lost", what: "its row was deleted", jobId });
    if (after === undefined) return;
    if (isTerminal(before) && (before!.status !== after.status || before!.attempt !== after.attempt)) {
      found.push({ kind: "doubled", what: `was ${before!.status}, then ${after.status}`, jobId });
    }
    if (before !== undefined && after.attempt < before.attempt) {
      found.push({ kind: "doubled", what: `went back from attempt ${before.attempt} to ${after.attempt}`, jobId });
    }
    if (after.workerId === null || isTerminal(after)) return;
    const name = `${jobId}/${after.attempt}`;
    const attempt = attempts.get(name) ?? { workerId: after.workerId, runs: 0 };
    attempts.set(name, attempt);
    if (attempt.workerId !== after.workerId) {
      found.push({ kind: "doubled", what: `two workers were given attempt ${after.attempt}`, jobId });
    }
    const starts = after.status === "running" && !(before?.status === "running" && before.attempt === after.attempt);
    if (starts && ++attempt.runs > 1) {
      found.push({ kind: "doubled", what: `attempt ${after.attempt} was started twice`, jobId });
    }
  });

  for (const { did, app, job, status, execution } of appJournals) {
    const row = job === undefined ? undefined : rows.get(job);
    if (row === undefined) continue;
    const told = did === "hear" || (did === "cancel" && terminal.has(status ?? ""));
    if (told && status !== row.status) {
      found.push({ kind: "doubled", what: `${app} was told ${status}, and it is ${row.status}`, jobId: row.id });
    }
    if (did === "hear" && status === "succeeded" && execution !== (row.result?.execution ?? null)) {
      found.push({ kind: "doubled", what: `${app} was told another result than the one on record`, jobId: row.id });
    }
  }
  return found;
}

/** What apps asked and were answered, by tenant and key. */
function byKey(entries: readonly AppEntry[]): Map<string, AppEntry[]> {
  const grouped = new Map<string, AppEntry[]>();
  for (const entry of entries) {
    if (!["ask", "submit", "refuse"].includes(entry.did)) continue;
    const name = `${entry.tenant}/${entry.key}`;
    grouped.set(name, [...grouped.get(name) ?? [], entry]);
  }
  return grouped;
}
