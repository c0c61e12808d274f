import assert from "node:assert/strict";
import { join, resolve } from "node:path";

const repository = resolve(import.meta.dirname!, "..", "..");

Deno.test("the README's way to a first job works, and Ctrl-C ends the stack", async () => {
  const folder = await Deno.makeTempDir({ prefix: "muster-first-job-" });
  const env = { MUSTER_DATA_DIR: join(folder, "data"), HOME: folder, NO_COLOR: "1" };
  const stack = run(env, "local/cli.ts", "--port", "0");
  const said = lines(stack.stdout);
  try {
    const url = (await said((line) => line.trim().startsWith("URL "))).trim().split(/\s+/)[1]!;
    const token = await answer(env, "enrollmentToken", "enrollment-token", "create", "--capability", "compute/basic");
    const key = await answer(env, "apiKey", "api-key", "create", "--executor", "my-app");
    const worker = run(env, "worker/cli.ts", "--url", url, "--token", token, "--capability", "compute/basic");
    const complaints = new Response(worker.stderr).text();
    const ended = new Response(worker.stdout).text();

    const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const body = JSON.stringify({ type: "calc.add", payload: { a: 2, b: 3 }, requires: ["compute/basic"] });
    const submitted = await fetch(`${url}/functions/v1/jobs`, { method: "POST", headers, body });
    assert.equal(submitted.status, 201);
    const { id } = await submitted.json();
    const job = await (await fetch(`${url}/functions/v1/jobs/${id}/wait`, { headers })).json();
    assert.deepEqual(job.result, { sum: 5 }, JSON.stringify(job));

    worker.kill("SIGINT");
    assert.equal((await worker.status).code, 0, await complaints);
    assert.match(await ended, /calc\.add/);
  } finally {
    stack.kill("SIGINT");
    const [{ code }, errors] = await Promise.all([stack.status, new Response(stack.stderr).text()]);
    assert.equal(code, 0, errors);
    await stack.stdout.cancel().catch(() => {});
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("muster says what to do when no local stack runs", async () => {
  const folder = await Deno.makeTempDir({ prefix: "muster-first-job-" });
  const { code, stderr } = await run({ MUSTER_DATA_DIR: folder }, "cli/main.ts", "api-key", "create").output();
  assert.equal(code, 2);
  assert.match(new TextDecoder().decode(stderr), /^Cannot find a project: start the local stack with npm start/);
  // A key is made before there is a project that could use it.
  const made = await run({ MUSTER_DATA_DIR: folder }, "cli/main.ts", "secret", "make-master-key").output();
  assert.match(new TextDecoder().decode(made.stdout), /^MUSTER_MASTER_KEYS=\{/m);
  await Deno.remove(folder);
});

function run(env: Record<string, string>, file: string, ...args: string[]): Deno.ChildProcess {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", join(repository, file), ...args],
    env: { ...env, SUPABASE_URL: "", SUPABASE_SECRET_KEY: "" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

async function answer(env: Record<string, string>, field: string, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run(env, "cli/main.ts", ...args, "--json").output();
  const text = new TextDecoder().decode(stdout);
  assert.notEqual(text, "", new TextDecoder().decode(stderr));
  return JSON.parse(text)[field];
}

/** Reads on until a line is found that the condition holds for. */
function lines(stream: ReadableStream<Uint8Array>): (condition: (line: string) => boolean) => Promise<string> {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  return async (condition) => {
    for (let text = "";;) {
      const found = text.split("\n").slice(0, -1).find(condition);
      if (found !== undefined) {
        reader.releaseLock();
        return found;
      }
      const { value, done } = await reader.read();
      if (done) throw new Error(`It ended after saying: ${text}`);
      text += value;
    }
  };
}
