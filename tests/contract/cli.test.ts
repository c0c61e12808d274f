import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { project } from "../support/project.ts";

const repository = resolve(import.meta.dirname!, "../..");

Deno.test("the operator's command prints no control character of a name or an argument, and gives machines all of them", async () => {
  const name = `\x1b[2J\x9b31m\x07${crypto.randomUUID()}\nsecond`;
  const made = await muster("tenant", "create", name);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^Tenant \[2J31m[0-9a-f-]+ second: [0-9a-f-]{36}\n$/);
  const slip = await muster("enrollment-token", "create", "--capability", name);
  assert.equal(slip.code, 2);
  assert.match(slip.stderr, /^Cannot allow capability "\[2J31m[0-9a-f-]+ second"/);
  assert.doesNotMatch(made.stdout + slip.stderr, /[^\P{Cc}\n\t]/u);
  assert.equal(JSON.parse((await muster("tenant", "create", name, "--json")).stdout).name, name);
});

async function muster(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(repository, "cli/main.ts"), ...args],
    cwd: repository,
    env: { SUPABASE_URL: project.url, SUPABASE_SECRET_KEY: project.secretKey },
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
