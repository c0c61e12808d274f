/**
 * `npm run mutation`: breaks a copy of the tree in one place at a time, and shows that the tests notice.
 *
 *   npm run mutation                        every mutation; exit code 1 if one is missed
 *   npm run mutation -- --only tick,nonce   those whose names hold one of these words
 *   npm run mutation -- --list              says what there is and runs nothing
 */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { startLocalStack } from "../../local/stack.ts";
import { auditMutations } from "./audit-mutations.ts";
import type { Mutation } from "./mutation.ts";
import { type Ended, probe, runTests } from "./run-tests.ts";
import { policyMutations } from "./policy-mutations.ts";
import { sqlMutations } from "./sql-mutations.ts";
import { TreeCopy } from "./tree-copy.ts";
import { workerMutations } from "./worker-mutations.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { only: { type: "string" }, list: { type: "boolean", default: false } },
});
const words = values.only?.split(",") ?? [""];
const mutations = [...sqlMutations, ...policyMutations, ...auditMutations, ...workerMutations].filter(({ name }) =>
  words.some((word) => name.includes(word))
);
if (mutations.length === 0) fail(`no mutation's name holds "${values.only}"`);
if (values.list) {
  for (const { name, breaks, file } of mutations) console.log(`${name}  ${breaks} (${file})`);
  Deno.exit(0);
}

await using stack = await startLocalStack({ ephemeral: true, log: () => {} });
const environment = {
  SUPABASE_URL: stack.url,
  SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
  SUPABASE_SECRET_KEY: stack.secretKey,
  SUPABASE_JWT_SECRET: stack.jwtSecret,
  SUPABASE_DB_URL: stack.dbUrl,
  MUSTER_TEST_ADMIN_DB_URL: stack.adminDbUrl,
  // Of the random sequences of calls, so many as a breakage usually takes.
  MUSTER_TEST_SEQUENCES: "600",
};
const root = resolve(import.meta.dirname!, "..", "..");
await using copy = await TreeCopy.make(root);
await using unchanged = await TreeCopy.make(root);
const proven = new Set<string>();

const rows: string[] = [];
let missed = 0;
for (const mutation of mutations) {
  const row = await examine(mutation);
  if (row.noticed === null) missed += 1;
  console.log(
    `${row.noticed === null ? "MISSED" : "caught"}: ${mutation.name}${row.noticed ? `, by ${row.noticed}` : ""}`,
  );
  const layer = mutation.file.endsWith(".sql") ? "SQL" : "worker";
  rows.push(
    `| ${layer} | ${mutation.breaks} (\`${mutation.name}\`) | ${row.noticed ?? "**missed**"} | ${
      row.seconds.toFixed(1)
    } s |`,
  );
}
console.log(`\n|    | what was broken | noticed by | after |\n| -- | --- | --- | --- |\n${rows.join("\n")}`);
console.log(`\n${mutations.length - missed} of ${mutations.length} caught`);
Deno.exitCode = missed > 0 ? 1 : 0;

/** Which test notices the mutation, and after how long. */
async function examine(mutation: Mutation): Promise<{ noticed: string | null; seconds: number }> {
  await using _ = await copy.apply(mutation);
  const { passed, output } = await probe(copy.root, mutation.file, environment);
  if (!passed) fail(`${mutation.name} leaves a tree that does not even start, which proves nothing\n${output}`);
  let seconds = 0;
  for (const file of mutation.tests) {
    await prove(file);
    const ended: Ended = await runTests(copy.root, file, environment);
    seconds += ended.seconds;
    if (!ended.passed) return { noticed: `\`${file}\`: ${ended.failure}`, seconds };
  }
  return { noticed: null, seconds };
}

/** A test that fails anyway would seem to catch everything: each file passes on the unchanged tree before it is used. */
async function prove(file: string): Promise<void> {
  if (proven.has(file)) return;
  const { passed, failure, seconds, output } = await runTests(unchanged.root, file, environment);
  console.log(`unchanged: ${file} ${passed ? "passes" : "FAILS"} (${seconds.toFixed(1)} s)`);
  if (!passed) fail(`${file} does not pass on the unchanged tree (${failure})\n${output}`);
  proven.add(file);
}

function fail(why: string): never {
  throw new Error(`Cannot check the tests by mutation: ${why}`);
}
