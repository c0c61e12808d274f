import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join, resolve } from "node:path";
import { memoryIdentityStore, Worker } from "../../worker/index.ts";
import secretHandlers from "./handlers/secret-handlers.ts";
import { project } from "../support/project.ts";
import { administrator, setSecret } from "../support/secrets.ts";
import { createWorld, type World } from "./world.ts";

const values = { PLAIN: "sk-live-4f9a77", LINES: 'first "line"\nsecond line é\n' };
const hashes = Object.fromEntries(
  Object.entries(values).map(([name, value]) => [name, createHash("sha256").update(value).digest("hex")]),
);

async function createSecretWorld(): Promise<World> {
  const world = await createWorld();
  for (const [name, value] of Object.entries(values)) {
    await setSecret(world.tenantId, { name, value, allowedTypes: ["test.secret.*"] });
  }
  return world;
}

const secrets = Object.keys(values);

Deno.test("a handler is given the secrets its job names, and only those", async () => {
  const { app, startWorker } = await createSecretWorld();
  await using _worker = await startWorker();
  const [both, one, none] = await Promise.all(
    [secrets, ["LINES"], []].map((secrets) => app.submit({ type: "test.secret.use", secrets })),
  );
  assert.deepEqual(both!.secrets, [...secrets].sort());
  assert.deepEqual((await app.wait(both!.id)).result, hashes);
  assert.deepEqual((await app.wait(one!.id)).result, { LINES: hashes["LINES"] });
  assert.deepEqual((await app.wait(none!.id)).result, {});
});

Deno.test("a worker whose clock is off opens secrets by the project's time", async () => {
  const { app, startWorker } = await createSecretWorld();
  await using worker = await startWorker({ preload: "tests/e2e/wrong-clock.ts", env: { CLOCK_MINUTES: "10" } });
  const job = await app.submit({ type: "test.secret.use", secrets });
  assert.deepEqual((await app.wait(job.id)).result, hashes);
  assert.equal(worker.count("clock.skewed"), 1);
});

Deno.test("what a handler tells of its secrets arrives masked, and in order", async () => {
  const { app, startWorker } = await createSecretWorld();
  await using worker = await startWorker();
  const run = async (how: string, more: object = {}) => {
    const job = await app.submit({
      type: "test.secret.tell",
      payload: { how },
      secrets: ["PLAIN"],
      maxAttempts: 1,
      ...more,
    });
    return await app.wait(job.id, { timeoutSeconds: 60 });
  };
  const thrown = await run("throw");
  assert.equal(thrown.error?.message, "Cannot sign in with ***");
  const refused = await run("throw-details");
  assert.deepEqual(refused.error, {
    code: "refused",
    message: 'refused: "***"',
    retryable: false,
    details: { value: "***", tried: ["***"] },
  });
  assert.equal((await run("throw-code")).error?.code, "***");
  assert.deepEqual((await run("return")).result, { list: ["***"] });

  const reported = await run("report");
  const { events } = await app.events(reported.id);
  assert.deepEqual(events.filter(({ kind }) => kind !== "status").map(({ kind, data }) => [kind, data]), [
    ["log", { level: "info", message: "PLAIN is ***" }],
    ["log", { level: "error", message: '{"name":"PLAIN","value":"***"}' }],
    ["log", { level: "info", message: "https://x.test/?key=***&basic=dXNlcjp***w==" }],
    ["log", { level: "info", message: "*********" }],
    ["progress", { fraction: 0.5, note: "with ***" }],
    ["chunk", { "***": ["***", { deep: "<***>" }] }],
  ]);
  const streamed = await app.events((await run("stream")).id, { limit: 200 });
  const chunks = streamed.events.filter(({ kind }) => kind === "chunk").map(({ data }) => data);
  assert.equal(chunks.filter((data) => typeof data === "string").join(""), "***");
  const deltas = chunks.filter((data) => typeof data === "object") as { delta: string; at: number }[];
  assert.equal(deltas.map(({ delta }) => delta).join(""), "***");
  assert.deepEqual(deltas.map(({ at }) => at), deltas.map((_, index) => index * 3));

  await run("reject");
  const left = await worker.waitFor("handler.unhandled_rejection");
  assert.match(left.message, /left alone with \*\*\*$/);
  assert.ok(!JSON.stringify(worker.lines).includes(values.PLAIN), "the worker's own lines are masked, too");
});

Deno.test("a secret that was taken away fails the job at once, and says which", async () => {
  const { app, tenantId, startWorker } = await createSecretWorld();
  const job = await app.submit({ type: "test.secret.use", secrets, requires: ["compute/basic"] });
  await administrator(tenantId)("/secrets/PLAIN/delete", { method: "POST" });
  await using _worker = await startWorker();
  const ended = await app.wait(job.id, { timeoutSeconds: 60 });
  assert.deepEqual([ended.status, ended.attempts, ended.error?.code], ["failed", 1, "secret_not_allowed"]);
  assert.match(ended.error?.message ?? "", /^Cannot open secret PLAIN for job /);
});

Deno.test("an outage while secrets are opened is waited out; when it lasts, the job is tried again", async () => {
  const { app, token } = await createSecretWorld();
  let failures = 2;
  const network: typeof fetch = (input, init) => {
    if (!String(input).endsWith("/secrets/open") || failures === 0) return fetch(input, init);
    failures -= 1;
    return Promise.reject(new TypeError("connection refused"));
  };
  await using worker = new Worker({
    url: project.url,
    enrollmentToken: token,
    identity: memoryIdentityStore(),
    name: "outage",
    realtime: false,
    fetch: network,
    random: () => 0,
  });
  for (const handler of secretHandlers) worker.handle(handler);
  await worker.start();
  const short = await app.wait((await app.submit({ type: "test.secret.use", secrets })).id, { timeoutSeconds: 60 });
  assert.deepEqual([short.attempts, short.result, failures], [1, hashes, 0]);
  failures = 7;
  const job = await app.submit({ type: "test.secret.use", secrets, retryBaseSeconds: 0 });
  const long = await app.wait(job.id, { timeoutSeconds: 60 });
  assert.deepEqual([long.attempts, long.result, failures], [2, hashes, 0]);
});

Deno.test("muster secret sets from standard input, lists, rotates and deletes", async () => {
  const { app, tenantId, startWorker } = await createWorld();
  const { body } = await administrator(tenantId)("/secrets");
  assert.deepEqual(body.secrets, []);
  const [{ name: tenant }] = await tenantNames(tenantId);
  const set = await muster(`${values.LINES}\n`, "set", "LINES", "--type", "test.secret.*", "--tenant", tenant);
  assert.deepEqual([set.code, set.stdout], [0, "Set LINES (version 1) for jobs of type test.secret.*\n"], set.stderr);
  await using _worker = await startWorker();
  const job = await app.submit({ type: "test.secret.use", secrets: ["LINES"] });
  assert.deepEqual((await app.wait(job.id)).result, { LINES: hashes["LINES"] });

  const slip = await muster("planted value", "set", "planted", "--tenant", tenant);
  assert.equal(slip.code, 2);
  assert.ok(!slip.stderr.includes("planted"), slip.stderr);
  const short = await muster("short", "set", "SHORT", "--type", "a", "--tenant", tenant);
  assert.equal(short.code, 1);
  assert.match(short.stderr, /must have at least 6 characters/);
  assert.match((await muster("", "set", "EMPTY", "--tenant", tenant)).stderr, /no value came on standard input/);

  const list = await muster("", "list", "--tenant", tenant, "--json");
  assert.deepEqual(JSON.parse(list.stdout).secrets.map((secret: { name: string }) => secret.name), ["LINES"]);
  const gone = await muster("", "delete", "LINES", "--tenant", tenant);
  assert.deepEqual([gone.code, gone.stdout], [0, "Deleted LINES\n"]);
  assert.match(
    (await muster("", "rotate-master-key")).stdout,
    /^Encrypted 0 secrets anew with master key \S+; no secret needs another/,
  );
  assert.match((await muster("", "make-master-key")).stdout, /^MUSTER_MASTER_KEYS=\{"k\d{8}-[\w-]{4}":"[\w-]{43}"\}$/m);
});

async function tenantNames(id: string): Promise<[{ name: string }]> {
  const response = await fetch(`${project.url}/rest/v1/tenants?select=name&id=eq.${id}`, {
    headers: {
      apikey: project.secretKey,
      authorization: `Bearer ${project.secretKey}`,
      "accept-profile": "muster",
    },
  });
  return await response.json();
}

async function muster(stdin: string, ...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(resolve(import.meta.dirname!, "../.."), "cli/main.ts"), "secret", ...args],
    env: { SUPABASE_URL: project.url, SUPABASE_SECRET_KEY: project.secretKey },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  // A command that does not read it ends with it unread.
  await writer.write(new TextEncoder().encode(stdin)).then(() => writer.close()).catch(() => {});
  const { code, stdout, stderr } = await child.output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
