/** Runs this same Deno in `cwd`, without colours and without looking for updates. */
export async function runDeno(args: string[], cwd: string): Promise<{ ok: boolean; stdout: string; stderr: string }> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd,
    env: { NO_COLOR: "1", DENO_NO_UPDATE_CHECK: "1", DENO_NO_PROMPT: "1", RUST_BACKTRACE: "0" },
    stdin: "null",
  }).output();
  return { ok: success, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}
