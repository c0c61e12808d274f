// What `npx` is while the guide's commands run: the real Supabase CLI, pointed at stand-ins. Where the guide names a
// project for its database, the CLI is given the database; questions are answered with yes.
import { remoteFlag } from "../deploy/database.ts";
import { supabase } from "../deploy/supabase-cli.ts";

const [program, ...args] = Deno.args;
if (program !== "supabase") throw new Error(`The guide runs npx ${program}, which this test does not know`);
const target = args.map((arg) =>
  args[0] === "db" && arg.startsWith("--remote=") ? remoteFlag(env("GUIDE_DB_URL")) : arg
);
const { code, stdout, stderr } = await supabase(
  Deno.cwd(),
  [...target, "--yes", "--profile", env("GUIDE_PROFILE")],
  { accessToken: env("GUIDE_ACCESS_TOKEN") },
);
console.log(stdout);
console.error(stderr);
Deno.exit(code);

function env(name: string): string {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`${name} must be set`);
  return value;
}
