/**
 * `npm run fuzz`: sends requests made from the OpenAPI document, fitting and hostile, to every route.
 *
 *   npm run fuzz -- --requests 20000 --seed 7    on a local stack of its own
 *
 * With SUPABASE_URL and the other variables of `npm test` set, it goes to that project instead.
 */
import { parseArgs } from "node:util";
import { startLocalStack } from "../../local/stack.ts";
import { project } from "../support/project.ts";
import { fuzzProject } from "./fuzz-project.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: {
    requests: { type: "string", default: "20000" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
});
const requests = Number(values.requests);
const seed = Number(values.seed);
if (!Number.isSafeInteger(requests) || requests < 1 || !Number.isSafeInteger(seed)) {
  console.error("Cannot fuzz: --requests and --seed must be whole numbers, of requests at least one");
  Deno.exit(2);
}

const stack = Deno.env.get("SUPABASE_URL") === undefined
  ? await startLocalStack({ ephemeral: true, log: () => {} })
  : undefined;
if (stack !== undefined) {
  Deno.env.set("SUPABASE_URL", stack.url);
  Deno.env.set("SUPABASE_PUBLISHABLE_KEY", stack.publishableKey);
  Deno.env.set("SUPABASE_SECRET_KEY", stack.secretKey);
  Deno.env.set("SUPABASE_JWT_SECRET", stack.jwtSecret);
  Deno.env.set("SUPABASE_DB_URL", stack.dbUrl);
}
let problems: readonly string[];
try {
  console.log(`Fuzzing ${project.url} with ${requests} requests, seed ${seed}`);
  const result = await fuzzProject({ requests, seed });
  console.log(result.text);
  problems = result.problems;
} finally {
  await stack?.stop();
}
Deno.exit(problems.length > 0 ? 1 : 0);
