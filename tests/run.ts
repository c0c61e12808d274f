import { parseArgs } from "node:util";
import { resolve } from "node:path";
import process from "node:process";
import { silent } from "../local/log.ts";
import { startLocalStack } from "../local/stack.ts";
import { missingForDebianPostgres, startDebianPostgres } from "./support/debian-postgres.ts";

const help = `Runs the tests.

  npm test                          all of them, on a local stack of their own
  npm test -- sql chaos             only these groups: unit, sql, chaos, contract, conformance, fuzz, e2e, deploy,
                                    install, local, debian, sql-15, campaign
  npm test -- --filter "stale"      only tests whose name holds the text

With SUPABASE_URL, SUPABASE_PUBLISHABLE_KEY, SUPABASE_SECRET_KEY, SUPABASE_JWT_SECRET and SUPABASE_DB_URL set, the groups
contract, fuzz and e2e run against that project instead; the others need a database they may fill and break.
`;

const repository = resolve(import.meta.dirname!, "..");

/** Groups in the order they run. A stack is what the public doors need, a cluster what the SQL tests need. */
const groups = [
  {
    name: "unit",
    paths: ["shared", "functions", "worker", "cli", "install", "local", "bench", "tests/check", "tests/mutation"],
    needs: "nothing",
    parallel: true,
  },
  { name: "sql", paths: ["tests/sql", "tests/permissions"], needs: "cluster", parallel: true },
  {
    name: "chaos",
    paths: ["tests/chaos"],
    without: ["tests/chaos/campaign/campaign.test.ts"],
    needs: "cluster",
    parallel: true,
  },
  { name: "contract", paths: ["tests/contract"], needs: "project", parallel: true },
  { name: "conformance", paths: ["tests/conformance"], needs: "stack", parallel: false },
  { name: "fuzz", paths: ["tests/fuzz"], needs: "project", parallel: false },
  { name: "e2e", paths: ["tests/e2e"], needs: "project", parallel: false },
  { name: "deploy", paths: ["tests/deploy"], needs: "stack", parallel: false },
  { name: "install", paths: ["tests/install"], needs: "nothing", parallel: false },
  { name: "local", paths: ["tests/local"], needs: "nothing", parallel: false },
  // On Debian's Postgres 15, where there is one: what needs its real extensions, and some SQL tests again.
  { name: "debian", paths: ["tests/debian"], needs: "debian", parallel: false },
  // tests/permissions calls every function there; beside it stand what the scheduler does most, and what is newest.
  {
    name: "sql-15",
    paths: [
      "tests/permissions",
      ...[
        ...["affinity", "batches", "bridge_queue", "claim_jobs", "complete_jobs", "concurrency-policies", "cron_run"],
        ...["dead_letters", "dependencies", "explain", "fairness", "heartbeat", "hello", "inserted_jobs"],
        ...["job-rate-limits", "label-expressions", "run_schedules", "submit_jobs", "tick"],
      ].map((name) => `tests/sql/${name}.test.ts`),
    ],
    needs: "debian",
    parallel: true,
  },
  // It breaks its whole stack, so it has one of its own.
  { name: "campaign", paths: ["tests/chaos/campaign/campaign.test.ts"], needs: "nothing", parallel: false },
] as const;

type Group = typeof groups[number];
type Counts = { passed: number; failed: number; ignored: number };

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  options: { help: { type: "boolean", short: "h" }, filter: { type: "string" } },
  allowPositionals: true,
});
if (values.help) {
  console.log(help);
  process.exit(0);
}
const unknown = positionals.filter((name) => !groups.some((group) => group.name === name));
if (unknown.length > 0) {
  console.error(`Cannot run "${unknown.join('", "')}": the groups are ${groups.map((group) => group.name).join(", ")}`);
  process.exit(2);
}

const isRemote = Deno.env.get("SUPABASE_URL") !== undefined;
const chosen = groups.filter((group) =>
  (positionals.length === 0 || positionals.includes(group.name)) &&
  (!isRemote || group.needs === "project" || group.name === "unit")
);
const stack = !isRemote && chosen.some((group) => group.needs !== "nothing" && group.needs !== "debian")
  ? await startLocalStack({ ephemeral: true, log: () => {} })
  : undefined;
const environment: Record<string, string> = stack
  ? {
    SUPABASE_URL: stack.url,
    SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
    SUPABASE_SECRET_KEY: stack.secretKey,
    SUPABASE_JWT_SECRET: stack.jwtSecret,
    SUPABASE_DB_URL: stack.dbUrl,
    MUSTER_TEST_ADMIN_DB_URL: stack.adminDbUrl,
  }
  : {};

const total: Counts = { passed: 0, failed: 0, ignored: 0 };
try {
  for (const group of chosen) {
    if (group.needs === "debian") continue;
    await run(group, environment);
  }
} finally {
  await stack?.stop();
}
await runOnDebian();
console.log(`\n${total.passed} passed, ${total.failed} failed${total.ignored > 0 ? `, ${total.ignored} skipped` : ""}`);
process.exit(total.failed > 0 || total.passed === 0 ? 1 : 0);

/** The groups for Debian's Postgres, on one cluster. A machine without it skips them, unless the environment forbids. */
async function runOnDebian(): Promise<void> {
  const groups = chosen.filter((group) => group.needs === "debian");
  if (groups.length === 0) return;
  const missing = await missingForDebianPostgres();
  if (missing !== undefined) {
    console.log(`\n== ${groups.map(({ name }) => name).join(", ")}: skipped, they need ${missing}`);
    if (Deno.env.get("MUSTER_TEST_DEBIAN") === "required") total.failed += 1;
    else total.ignored += groups.length;
    return;
  }
  await using database = await startDebianPostgres(silent);
  const environment = { SUPABASE_DB_URL: database.dbUrl, MUSTER_TEST_ADMIN_DB_URL: database.adminDbUrl };
  for (const group of groups) await run(group, environment);
}

async function run(group: Group, environment: Record<string, string>): Promise<void> {
  console.log(`\n== ${group.name}`);
  const started = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["test", "--allow-all", "--no-check", "--permit-no-files"],
      ...(group.parallel ? ["--parallel"] : []),
      ...(values.filter ? ["--filter", values.filter] : []),
      ...("without" in group ? [`--ignore=${group.without.join(",")}`] : []),
      ...group.paths,
    ],
    cwd: repository,
    env: { ...environment, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    await Deno.stdout.write(new TextEncoder().encode(text));
  }
  const { success } = await child.status;
  const summary = /(\d+) passed.*?\| (\d+) failed(?:.*?\| (\d+) ignored)?/.exec(output);
  const counts = {
    passed: Number(summary?.[1] ?? 0),
    failed: Number(summary?.[2] ?? 0),
    ignored: Number(summary?.[3] ?? 0),
  };
  // A file that does not even load fails without a count.
  if (!success && counts.failed === 0) counts.failed = 1;
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.ignored += counts.ignored;
  console.log(`== ${group.name}: ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
