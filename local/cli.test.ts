import assert from "node:assert/strict";
import { join } from "node:path";
import { forgetData } from "./stack.ts";
import { isAlive, until } from "./testing/wait.ts";

const cli = join(import.meta.dirname!, "cli.ts");
const runner = join(import.meta.dirname!, "run.mjs");

type Started = { process: Deno.ChildProcess; output: () => string; url: string; dbUrl: string };

Deno.test("Ctrl-C ends every process, and the next start has the data", async () => {
  await using data = await temporaryFolder();
  const first = await start(data.path);
  const family = await descendants(first.process.pid);
  assert.ok(family.length >= 5, `only ${family.length} processes`);
  first.process.kill("SIGINT");
  assert.equal((await first.process.status).code, 0);
  await until("all processes are gone", () => !family.some(isAlive));

  const second = await start(data.path);
  second.process.kill("SIGTERM");
  assert.equal((await second.process.status).code, 0);
});

Deno.test("children of a killed launcher leave by themselves, and the next start works", async () => {
  await using data = await temporaryFolder();
  const first = await start(data.path);
  const family = await descendants(first.process.pid);
  first.process.kill("SIGKILL");
  await first.process.status;
  // At once: this start has to wait for what the last one left behind.
  const second = await start(data.path);
  await until("the children of the first are gone", () => !family.some(isAlive));
  assert.equal((await fetch(`${second.url}/auth/v1/health`)).status, 200);
  second.process.kill("SIGINT");
  await second.process.status;
});

Deno.test("Postgres killed with everything else starts again with what was committed", async () => {
  await using data = await temporaryFolder();
  const first = await start(data.path);
  for (const pid of [...await descendants(first.process.pid), first.process.pid]) {
    try {
      Deno.kill(pid, "SIGKILL");
    } catch { /* gone with its parent */ }
  }
  await first.process.status;
  const second = await start(data.path);
  second.process.kill("SIGINT");
  assert.equal((await second.process.status).code, 0);
});

Deno.test("a second start on the same data says who holds it", async () => {
  await using data = await temporaryFolder();
  const first = await start(data.path);
  const second = await run(["--data-dir", data.path, "--port", "0"]);
  assert.equal(second.code, 1);
  assert.match(second.text, new RegExp(`in use by process ${first.process.pid}, which serves ${first.url}`));
  assert.match((await run(["--data-dir", data.path, "--reset"])).text, /in use/);
  first.process.kill("SIGINT");
  await first.process.status;
});

Deno.test("a taken port gives the next free one, and says so", async () => {
  await using data = await temporaryFolder();
  const taken = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = taken.addr as Deno.NetAddr;
  const started = await start(data.path, port);
  assert.ok(Number(new URL(started.url).port) > port);
  assert.match(started.output(), new RegExp(`Port ${port} is taken: using \\d+`));
  started.process.kill("SIGINT");
  await started.process.status;
  taken.close();
});

Deno.test("--reset forgets the data", async () => {
  await using data = await temporaryFolder();
  await Deno.writeTextFile(join(data.path, "left.txt"), "from another time");
  const started = await start(data.path, 0, ["--reset"]);
  await assert.rejects(Deno.stat(join(data.path, "left.txt")), Deno.errors.NotFound);
  started.process.kill("SIGINT");
  await started.process.status;
});

Deno.test("--help and a wrong option explain the usage", async () => {
  const help = await run(["--help"]);
  assert.equal(help.code, 0);
  assert.match(help.text, /npm start -- --reset/);
  assert.equal((await run(["--nonsense"])).code, 1);
  assert.match((await run(["--port", "many"])).text, /Cannot use port "many"/);
});

Deno.test("the runner passes on the exit code and signals", async () => {
  await using folder = await temporaryFolder();
  const script = join(folder.path, "script.ts");
  await Deno.writeTextFile(
    script,
    `Deno.addSignalListener("SIGTERM", () => Deno.exit(42)); console.log("ready " + Deno.args.join(" "));
     if (Deno.args[0] === "end") Deno.exit(3); setInterval(() => {}, 1000);`,
  );
  const node = (...args: string[]) =>
    new Deno.Command("node", { args: [runner, script, ...args], stdout: "piped", stderr: "null", stdin: "null" });
  assert.equal((await node("end").output()).code, 3);

  const waiting = node("a b").spawn();
  const output = collect(waiting.stdout);
  await until("it is ready", () => output().includes("ready a b"));
  waiting.kill("SIGTERM");
  assert.equal((await waiting.status).code, 42);
});

async function start(dataDir: string, port = 0, more: string[] = []): Promise<Started> {
  const process = command(["--data-dir", dataDir, "--port", String(port), ...more]).spawn();
  const output = collect(process.stdout);
  const errors = collect(process.stderr);
  let ended = false;
  process.status.then(() => ended = true);
  await until("the stack is running", () => {
    if (ended) throw new Error(`The start failed: ${errors()}`);
    return output().includes("Ctrl-C");
  }, 90_000);
  const url = /URL\s+(http\S+)/.exec(output())![1]!;
  const dbUrl = /Database URL\s+(\S+)/.exec(output())![1]!;
  return { process, output, url, dbUrl };
}

async function run(args: string[]): Promise<{ code: number; text: string }> {
  const { code, stdout, stderr } = await command(args).output();
  return { code, text: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

function command(args: string[]): Deno.Command {
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", cli, ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  });
}

function collect(stream: ReadableStream<Uint8Array>): () => string {
  let text = "";
  stream.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: (chunk) => void (text += chunk) }));
  return () => text;
}

async function descendants(pid: number): Promise<number[]> {
  const { stdout } = await new Deno.Command("ps", { args: ["-eo", "pid=,ppid="] }).output();
  const rows = new TextDecoder().decode(stdout).trim().split("\n").map((line) => line.trim().split(/\s+/).map(Number));
  const found = new Set([pid]);
  for (let before = 0; before !== found.size;) {
    before = found.size;
    for (const [child, parent] of rows) if (found.has(parent!)) found.add(child!);
  }
  found.delete(pid);
  return [...found];
}

async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempDir({ prefix: "muster data " });
  return {
    path,
    async [Symbol.asyncDispose]() {
      await forgetData(path);
    },
  };
}
