import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { MusterClient } from "../../worker/index.ts";
import { Network } from "../support/network.ts";
import { startWorker, testHandlers, type WorkerProcess } from "../support/worker-process.ts";
import { Haystack, needlesOf } from "./support/haystack.ts";
import { type Ask, asker, createScene, holdJob, listen } from "./support/secret-scene.ts";

/** Parts that stay as they are in JSON, URLs and logs, so that they are found wherever the value is. */
const core = () => `pLaNt${crypto.randomUUID().replaceAll("-", "").slice(0, 16)}`;

const planted: Record<string, string> = {
  WORD: core(),
  LINES: `-----BEGIN KEY-----\n${core()}\n${core()}\n-----END KEY-----\n`,
  UNICODE: `пароль ${core()} 密码🔑 ${core()}`,
  QUOTES: `${core()} "it's" \\n \\\\ ${core()}`,
  REGEX: `${core()}.*(a|b)+[c]{2}^$?${core()}`,
  BASE64: btoa(core() + core()),
  URL: `${core()}/?a=b&c=d%20e+f#${core()}`,
  BLANKS: `  ${core()}  `,
};
const names = Object.keys(planted);
const cores = Object.values(planted).flatMap((value) => value.match(/pLaNt[0-9a-f]{16}/g) ?? [value]);
const needles = new Map(cores.map((text) => [text, needlesOf(text)]));

Deno.test("a planted secret is nowhere in what the system writes, says or answers", async () => {
  const haystack = new Haystack(needles);
  const folder = await Deno.makeTempDir({ prefix: "muster-secrets-worker-" });
  const workers: WorkerProcess[] = [];
  await using scene = await createScene((line) => haystack.add("the stack's log", line));
  const { stack, dataDir, apiKey, enrollmentToken } = scene;
  const ask = asker(scene, { onText: (text) => haystack.add("an answer", text) });
  const app = new MusterClient({ url: stack.url, apiKey, fetch: recording((text) => haystack.add("an answer", text)) });
  try {
    const received: string[] = [];
    const decoder = new TextDecoder("latin1");
    await using line = new Network(stack.url, (bytes) => received.push(decoder.decode(bytes)));
    await using heard = await listen(scene, (text) => haystack.add("a websocket", text));
    for (const [name, value] of Object.entries(planted)) {
      const set = await ask("/secrets", { name, value, allowedTypes: ["test.*"] });
      assert.equal(set.status, 200, set.text);
    }
    await refusedSettings(ask);

    const start = async () => {
      const worker = await startWorker({
        ...{ url: line.url, token: enrollmentToken, handlers: testHandlers, capabilities: ["compute/basic"] },
        ...{ slots: 2, identity: join(folder, "identity.json") },
      });
      workers.push(worker);
      return worker;
    };
    const worker = await start();
    // Later, so that the channel of each is joined when it tells something.
    const runAt = new Date(Date.now() + 3_000).toISOString();
    for (const how of ["report", "stream", "throw", "throw-details", "throw-code", "return", "reject"]) {
      const options = { payload: { how }, secrets: names, maxAttempts: 1, notify: true, runAt };
      const { id } = await app.submit({ type: "test.secret.tell", ...options });
      await heard.join(`job:${id}`);
      await app.wait(id, { timeoutSeconds: 120 });
      const { lastSequence } = await app.events(id, { limit: 500 });
      await app.events(id, { limit: 500, after: Math.min(500, lastSequence) });
    }
    const used = await app.submit({ type: "test.secret.use", secrets: names });
    const hash = (text: string) => createHash("sha256").update(text).digest("hex");
    const hashes = Object.fromEntries(Object.entries(planted).map(([name, value]) => [name, hash(value)]));
    assert.deepEqual((await app.wait(used.id, { timeoutSeconds: 120 })).result, hashes, "handlers have the values");

    // A result that waits on disk, and comes too late: it is kept as evidence.
    const untilFile = join(folder, "line-is-cut");
    const late = await app.submit({ type: "test.secret.held", payload: { untilFile }, secrets: names });
    await worker.waitFor((said) => said.event === "job.started" && said["jobId"] === late.id);
    line.cut();
    await Deno.writeTextFile(untilFile, "");
    await worker.waitFor("result.spooled");
    await haystack.addFolder("the worker's files", folder);
    await app.cancel(late.id);
    line.mend();
    await worker.waitFor("result.stale");
    assert.equal((await app.get(late.id)).lateResults?.length, 1);

    const held = await holdJob(scene, ["WORD"]);
    assert.equal((await held.open(ask, 2)).body.code, "stale_attempt");
    assert.equal((await held.open(ask)).values?.["WORD"], planted["WORD"]);
    await ask("/secrets/WORD/delete", {});
    assert.equal((await held.open(ask)).body.code, "secret_not_allowed");
    await ask("/secrets");
    assert.ok(worker.count("handler.unhandled_rejection") > 0);
    worker.signal("SIGTERM");
    await worker.exitCode();

    for (const { lines, errors } of workers) {
      haystack.add("the worker's output", lines.map((said) => JSON.stringify(said)).join("\n") + errors);
    }
    haystack.add("the worker's line", received.join(""));
    await haystack.addFolder("the worker's files", folder);
    await haystack.addFolder("the stack's files", dataDir);
    await haystack.addDatabase(stack.adminDbUrl);
    haystack.assertCovered([
      ...["the stack's log", "an answer", "a websocket", "the worker's output", "the worker's line"],
      ...["the worker's files", "the stack's files", "table muster.secrets", "table muster.audit_log"],
      ...["table muster.jobs", "table muster.stored_events", "table muster.late_results", "table realtime.messages"],
    ]);
    assert.deepEqual(haystack.found(), []);

    // The same search finds what a handler gives away by itself, and what is planted where it must not be.
    const given = await app.submit({ type: "test.secret.leak", secrets: ["LINES", "URL"] });
    await start();
    assert.equal((await app.wait(given.id, { timeoutSeconds: 120 })).status, "succeeded");
    const control = new Haystack(needles);
    await control.addFolder("storage", join(dataDir, "storage"));
    await control.plant(stack.adminDbUrl, planted["QUOTES"]!);
    await control.addDatabase(stack.adminDbUrl);
    const bytes = new TextEncoder().encode(`key ${planted["WORD"]}`);
    control.add("base64", btoa(String.fromCharCode(...bytes)));
    control.add("hex", Array.from(bytes, (byte) => byte.toString(16)).join(""));
    const places = new Set(control.found().map(({ place }) => place.split(" /")[0]));
    assert.deepEqual([...places].sort(), ["base64", "hex", "storage", "table public.planted"]);
  } finally {
    for (const worker of workers) await worker[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

/** Bodies that hold a secret and do not fit: each is refused. */
async function refusedSettings(ask: Ask): Promise<void> {
  const value = planted["QUOTES"]!;
  const allowedTypes = ["test.*"];
  const bodies: unknown[] = [
    { name: value, value, allowedTypes },
    { name: "KEY", value: [value], allowedTypes },
    { name: "KEY", value: { value }, allowedTypes },
    { name: "KEY", value: value.repeat(500), allowedTypes },
    { name: "KEY", value, allowedTypes: [value] },
    { name: "KEY", value, allowedTypes: value },
    { name: "KEY", value },
    { name: "KEY", value, allowedTypes, note: value },
    { name: "KEY", value: `${value}\0`, allowedTypes },
    value,
    [value],
    `{"name": "KEY", "value": "${planted["WORD"]}`,
    `${planted["WORD"]}`,
  ];
  for (const body of bodies) {
    const { status, text } = await ask("/secrets", typeof body === "string" ? body : JSON.stringify(body));
    assert.ok(status === 400 || status === 422, `${status} ${text}`);
  }
}

/** A fetch that passes on what it answered. */
function recording(onText: (text: string) => void): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, init);
    onText(`${JSON.stringify([...response.headers])}\n${await response.clone().text()}`);
    return response;
  };
}
