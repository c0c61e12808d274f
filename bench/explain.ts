import { parseArgs } from "node:util";
import { createTenant, submit, type TestTenant } from "../tests/support/actors.ts";
import { type Args, service, TestDatabase } from "../tests/support/database.ts";
import { laptopSettings, startCluster } from "./bench-cluster.ts";
import { useRealClock } from "./muster-core.ts";
import { percentile } from "./statistics.ts";

const runs = 15;

/** Jobs that cost explain differently, by what they ask of a fleet of unlike workers. */
export const explainCases: Readonly<Record<string, Args>> = {
  "nothing in particular, all are busy": {},
  "a label that half have": { labels: { site: "lab" } },
  "capabilities, a label, 5 expressions and a resource; a few have them": {
    requires: ["python", "gpu@measured"],
    labels: { site: "lab" },
    where: [
      { label: "cuda", operator: "semver", value: ">=12.2 <14" },
      { label: "ram", operator: ">=", value: 64 },
      { label: "zone", operator: "in", values: ["a", "b", "c"] },
      { label: "host", operator: "matches", value: "^node-[0-9]+$" },
      { label: "retired", operator: "absent" },
    ],
    prefer: [{ label: "zone", operator: "=", value: "a", weight: 10 }],
    resources: { gpu: 1 },
  },
  "a capability that none has": { requires: ["quantum"] },
};

/** What an explanation costs over a large fleet, in SQL alone. */
export async function explain(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({ args: [...args], options: { workers: { type: "string", default: "1000" } } });
  const workers = Number(values.workers);
  await using cluster = await startCluster(laptopSettings);
  Deno.env.set("MUSTER_TEST_ADMIN_DB_URL", cluster.adminUrl);
  await using db = await TestDatabase.create({ fresh: true });
  await useRealClock(db);
  const tenant = await fillUnlikeWorkers(db, workers);
  console.log(`
${workers} workers, each with a label of its own; Postgres with 48 MB of shared buffers, fsync off

| ${"milliseconds".padEnd(70)} | median |    min |    max | runs |
| ${"-".repeat(70)} | -----: | -----: | -----: | ---: |`);
  for (const [what, job] of Object.entries(explainCases)) {
    tell(what, await timeExplanation(db, tenant, job));
    tell("  not submitted yet", await timeExplanation(db, tenant, job, { isSubmitted: false }));
  }
}

/** A tenant with workers that have something of their own each; all are busy, and one in twenty is offline. */
export async function fillUnlikeWorkers(db: TestDatabase, workers: number): Promise<TestTenant> {
  const tenant = await createTenant(db);
  await db.sql`
    insert into muster.worker_devices (tenant_id, name, device_fingerprint, public_jwk, capabilities, measured_capabilities,
      labels, slots, held_count, resources, status, listening)
    select ${tenant.id}, 'worker-' || i, 'print-' || i, '{"kty": "EC"}',
      array['python'] || case when i % 3 = 0 then array['gpu'] else '{}' end, case when i % 6 = 0 then array['gpu'] else '{}' end,
      jsonb_build_object('host', 'node-' || i, 'site', case when i % 2 = 0 then 'lab' else 'home' end,
        'cuda', '12.' || i % 7 || '.' || i % 5, 'ram', (16 * (1 + i % 8))::text, 'zone', chr(97 + i % 5)),
      4, 4, jsonb_build_object('gpu', i % 4 + 0.5), case when i % 20 = 0 then 'offline' else 'online' end::muster.worker_status, true
    from generate_series(1, ${workers}) i`;
  await db.sql`analyze`;
  return tenant;
}

/** What it took to explain such a job, in milliseconds, some times over. */
export async function timeExplanation(
  db: TestDatabase,
  tenant: TestTenant,
  job: Args,
  { isSubmitted = true } = {},
): Promise<number[]> {
  const [verb, given] = isSubmitted
    ? ["explain_job", { job_id: (await submit(db, tenant, job))[0].id }] as const
    : ["explain_submission", { job: { type: "test", ...job } }] as const;
  const times: number[] = [];
  for (let n = 0; n <= runs; n++) {
    const began = performance.now();
    await db.call(service, verb, { caller: tenant.caller, ...given });
    // The first fills the caches of the connection.
    if (n > 0) times.push(performance.now() - began);
  }
  return times;
}

function tell(name: string, times: readonly number[]): void {
  const cells = [percentile(times, 0.5), Math.min(...times), Math.max(...times)];
  console.log(
    `| ${name.padEnd(70)} | ${cells.map((ms) => ms.toFixed(1).padStart(6)).join(" | ")} | ${
      String(runs).padStart(4)
    } |`,
  );
}
