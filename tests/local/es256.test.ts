import assert from "node:assert/strict";
import { resolve } from "node:path";
import { startLocalStack } from "../../local/stack.ts";

const repository = resolve(import.meta.dirname!, "..", "..");

/** What goes through tokens, at every public door. */
const files = [
  "tests/contract/enroll.test.ts",
  "tests/contract/hostile-tokens.test.ts",
  "tests/contract/revocation.test.ts",
  "tests/contract/rotate.test.ts",
  "tests/e2e/token-life.test.ts",
  "tests/e2e/first-job.test.ts",
];

Deno.test("a project that signs with an imported ES256 key passes the tests of tokens, as one that signs with its secret", async () => {
  await using stack = await startLocalStack({ ephemeral: true, signing: "ES256", log: () => {} });
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["test", "--allow-all", "--no-check", ...files],
    cwd: repository,
    env: {
      SUPABASE_URL: stack.url,
      SUPABASE_PUBLISHABLE_KEY: stack.publishableKey,
      SUPABASE_SECRET_KEY: stack.secretKey,
      SUPABASE_JWT_SECRET: stack.jwtSecret,
      SUPABASE_JWT_JWK: JSON.stringify(stack.signingJwk),
      SUPABASE_DB_URL: stack.dbUrl,
      NO_COLOR: "1",
    },
  }).output();
  const said = new TextDecoder().decode(stdout);
  assert.equal(code, 0, said + new TextDecoder().decode(stderr));
  assert.match(said, /no forged or spoilt token opens the Data API \.\.\. ok/);
  assert.match(said, / passed .*\| 0 failed/);
});
