import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const shim = fileURLToPath(import.meta.resolve("../../node_modules/supabase/dist/supabase.js"));

/** What the CLI needs of the environment; nothing else is handed on, so that no `SUPABASE_*` of the caller leaks in. */
const passedOn = ["PATH", "LANG", "TMPDIR", "TEMP", "TMP", "SystemRoot", "PATHEXT", "LD_LIBRARY_PATH"];

export interface CliResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the real Supabase CLI on the project at `project`, with no telemetry, no login and no look for updates. */
export async function supabase(
  project: string,
  args: string[],
  { accessToken }: { accessToken?: string } = {},
): Promise<CliResult> {
  const home = await Deno.makeTempDir({ prefix: "muster-cli-home-" });
  try {
    const command = new Deno.Command("node", {
      args: [shim, ...args, "--workdir", project],
      cwd: project,
      clearEnv: true,
      env: environment(home, accessToken),
      stdin: "null",
    });
    const { code, stdout, stderr } = await command.output();
    return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(home, { recursive: true });
  }
}

/** The CLI at work, for tests that cut it off: killed with all that it started, as by a power failure. */
export async function startSupabase(project: string, args: string[]): Promise<{ kill(): Promise<void> }> {
  const home = await Deno.makeTempDir({ prefix: "muster-cli-home-" });
  const child = spawn("node", [shim, ...args, "--workdir", project], {
    cwd: project,
    env: environment(home),
    stdio: "ignore",
    detached: true,
  });
  const exited = new Promise((resolve) => child.once("exit", resolve));
  return {
    async kill() {
      process.kill(-child.pid!, "SIGKILL");
      await exited;
      await Deno.remove(home, { recursive: true });
    },
  };
}

function environment(home: string, accessToken?: string): Record<string, string> {
  const env: Record<string, string> = {
    HOME: home,
    USERPROFILE: home,
    SUPABASE_HOME: join(home, ".supabase"),
    SUPABASE_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
    SUPABASE_NO_UPDATE_NOTIFIER: "1",
    SUPABASE_NO_KEYRING: "1",
    NO_COLOR: "1",
    ...(accessToken === undefined ? {} : { SUPABASE_ACCESS_TOKEN: accessToken }),
  };
  for (const name of passedOn) {
    const value = Deno.env.get(name);
    if (value !== undefined) env[name] = value;
  }
  return env;
}

/** The same, for calls that must succeed: anything but exit code 0 throws what the CLI had to say. */
export async function supabaseOk(...call: Parameters<typeof supabase>): Promise<CliResult> {
  const result = await supabase(...call);
  if (result.code !== 0) {
    throw new Error(`supabase ${call[1].join(" ")} ended with ${result.code}:\n${result.stdout}${result.stderr}`);
  }
  return result;
}
