import assert from "node:assert/strict";
import { join } from "node:path";
import { startChild } from "./child.ts";
import { startSupervised } from "./supervise.ts";
import { silent } from "./log.ts";
import { isAlive, until } from "./testing/wait.ts";

const parent = join(import.meta.dirname!, "parent.ts");

/** Serves nothing, but answers with what it was told by the lines it logs. */
const obedient = `
import { childSettings, serveForParent } from ${JSON.stringify(parent)};
console.log("set " + JSON.stringify(childSettings()));
console.log("env " + Object.keys(Deno.env.toObject()).filter((name) => /^(MUSTER|SUPABASE)_/.test(name)).sort().join());
serveForParent({ port: Deno.pid, onSettings(settings) {
  if (settings.refused) throw new Error("not that");
  console.log("told " + JSON.stringify(settings));
} });
`;

Deno.test("startChild() gives up a child that never serves, and leaves none behind", async () => {
  await using script = await makeScript(`console.log("pid " + Deno.pid); setInterval(() => {}, 1000);`);
  const lines: string[] = [];
  const started = startChild({ name: "mute", script: script.path, log: note(lines), startWithinMs: 4_000 });
  await assert.rejects(started, { message: "Cannot start mute: it did not serve within 4 s" });
  await until("its line was read", () => lines.length === 1);
  assert.ok(!isAlive(Number(lines[0]!.split(" ")[1])));
});

Deno.test("startChild() says how a child ended that never served", async () => {
  await using script = await makeScript(`Deno.exit(7);`);
  const started = startChild({ name: "brief", script: script.path, log: silent });
  await assert.rejects(started, { message: "Cannot start brief: it ended with exit code 7" });
});

Deno.test("a child takes settings, and is spared what the shell says of other projects", async () => {
  await using script = await makeScript(obedient);
  const lines: string[] = [];
  const foreign = {
    MUSTER_JWT_JWK: "{}",
    MUSTER_PUBLIC_URL: "https://example.com",
    SUPABASE_URL: "https://example.com",
  };
  const before = Deno.env.toObject();
  for (const [name, value] of Object.entries(foreign)) Deno.env.set(name, value);
  const child = await startChild({
    ...{ name: "obedient", script: script.path, log: note(lines), settings: { n: 1 }, env: { SUPABASE_DB_URL: "x" } },
  });
  for (const name of Object.keys(foreign)) {
    if (before[name] === undefined) Deno.env.delete(name);
    else Deno.env.set(name, before[name]);
  }
  await child.tell({ n: 2 });
  assert.deepEqual(lines.toSorted(), ["env MUSTER_SETTINGS,SUPABASE_DB_URL", 'set {"n":1}', 'told {"n":2}']);
  await assert.rejects(child.tell({ refused: true }), /Cannot change obedient: Error: not that/);
  await child.stop();
  await assert.rejects(child.tell({ n: 3 }), { name: "ChildEndedError" });
});

Deno.test("startSupervised() starts a child again with the settings of now, and update() waits for that", async () => {
  await using script = await makeScript(obedient);
  const lines: string[] = [];
  const ports: (number | undefined)[] = [];
  let n = 1;
  const child = await startSupervised({
    ...{ name: "obedient", script: script.path, log: note(lines), settings: () => ({ n }) },
    onPort: (port) => ports.push(port),
  });
  const first = child.pid;
  Deno.kill(first, "SIGKILL");
  n = 2;
  await child.update();
  assert.notEqual(child.pid, first);
  assert.deepEqual(ports, [first, undefined, child.pid]);
  assert.ok(lines.includes('set {"n":2}'));
  assert.ok(lines.includes("ended with signal SIGKILL; starting it again in 0.5 s"), lines.join("\n"));
  await child.stop();
  assert.ok(!isAlive(child.pid));
});

Deno.test("startSupervised() lets a child that keeps failing wait longer each time, and can be stopped meanwhile", async () => {
  const failing = `if (Deno.args.length === 0) Deno.exit(1);`;
  await using script = await makeScript(obedient);
  const lines: string[] = [];
  const child = await startSupervised({ name: "poor", script: script.path, log: note(lines) });
  await Deno.writeTextFile(script.path, failing);
  Deno.kill(child.pid, "SIGKILL");
  await until("it failed three times", () => lines.some((line) => line.endsWith("in 4 s")));
  const pauses = lines.flatMap((line) => /starting it again in (\S+) s$/.exec(line)?.[1] ?? []);
  assert.deepEqual(pauses, ["0.5", "1", "2", "4"]);
  const stopping = performance.now();
  await child.stop();
  assert.ok(performance.now() - stopping < 3_000, "the stop waited for the pause");
});

function note(lines: string[]): (part: string, line: string) => void {
  return (_, line) => void lines.push(line);
}

async function makeScript(text: string): Promise<{ path: string } & AsyncDisposable> {
  const path = await Deno.makeTempFile({ prefix: "muster-child-", suffix: ".ts" });
  await Deno.writeTextFile(path, text);
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path) };
}
