import assert from "node:assert/strict";
import { join } from "node:path";
import { type IdentityStore, MusterError, rotateKey, Worker } from "../../worker/index.ts";
import { api } from "../support/tenant.ts";
import { project } from "../support/project.ts";
import { startWorker, WorkerProcess } from "../support/worker-process.ts";
import { createWorld, until } from "./world.ts";

Deno.test("npm run worker -- --rotate-key gives the worker a new key; a copy of the old identity opens nothing", async () => {
  const { app, startWorker: start } = await createWorld();
  const folder = await Deno.makeTempDir();
  const [identity, copy] = [join(folder, "identity.json"), join(folder, "copy.json")];
  const first = await start({ identity });
  const workerId = first.id;
  first.signal("SIGTERM");
  await first.exitCode();
  await Deno.copyFile(identity, copy);
  if (Deno.build.os !== "windows") await Deno.chmod(copy, 0o600);

  await using change = new WorkerProcess({ identity, args: ["--rotate-key"] });
  assert.equal(await change.exitCode(), 0, change.errors);
  const told = await change.waitFor("worker.key_rotated");
  assert.equal(told["workerId"], workerId);
  assert.notEqual(keyIn(await Deno.readTextFile(identity)), keyIn(await Deno.readTextFile(copy)));

  await using thief = new WorkerProcess({ identity: copy });
  assert.equal(await thief.exitCode(), 2);
  assert.match(thief.errors, /not by its device key/);

  await using again = await startWorker({ identity });
  await again.waitFor("worker.resumed");
  const job = await app.submit({ type: "calc.add", payload: { a: 1, b: 2 } });
  assert.equal((await app.wait(job.id, { timeoutSeconds: 30 })).workerId, workerId);
  await again.kill();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("--rotate-key says what is wrong where no worker has enrolled, and leaves no file", async () => {
  const folder = await Deno.makeTempDir();
  const identity = join(folder, "identity.json");
  await using change = new WorkerProcess({ identity, args: ["--rotate-key", "--log-format", "text"] });
  assert.equal(await change.exitCode(), 2);
  assert.match(change.errors, /no worker has enrolled with it\.\nEnroll first/);
  await assert.rejects(Deno.stat(identity), Deno.errors.NotFound);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a running worker changes its key without dropping its job", async () => {
  const { app, token } = await createWorld();
  const store = textStore();
  await using worker = new Worker({ url: project.url, enrollmentToken: token, identity: store });
  const [running, finish] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  worker.handle("test.hold", async () => {
    running.resolve();
    await finish.promise;
    return "done";
  });
  await worker.start();
  const before = keyIn(store.text!);
  const job = await app.submit({ type: "test.hold", maxAttempts: 1 });
  await running.promise;
  await worker.rotateKey();
  assert.notEqual(keyIn(store.text!), before);
  finish.resolve();
  const ended = await app.wait(job.id, { timeoutSeconds: 30 });
  assert.deepEqual([ended.status, ended.result, ended.attempts], ["succeeded", "done", 1]);
  // Its next job is pushed or polled with the new token.
  const next = await app.submit({ type: "test.hold" });
  assert.equal((await app.wait(next.id, { timeoutSeconds: 30 })).status, "succeeded");
});

/** What may go wrong with one request of a rotation, as `fetch` shows it. */
const accidents: Record<string, (sendOn: () => Promise<Response>) => Promise<Response>> = {
  "the request was lost": () => Promise.reject(new TypeError("connection reset")),
  "the answer was lost": async (sendOn) => {
    await (await sendOn()).body?.cancel();
    throw new TypeError("connection reset");
  },
};

for (const [what, accident] of Object.entries(accidents)) {
  Deno.test(`a rotation of which ${what} is carried through by the next start, with the same worker`, async () => {
    const { workerId, store, token } = await enrolled();
    const before = keyIn(store.text!);
    const broken: typeof fetch = (input, init) =>
      String(input).endsWith("/rotate") ? accident(() => fetch(input, init)) : fetch(input, init);
    await assert.rejects(rotateKey({ url: project.url, identity: store, fetch: broken }), MusterError);
    assert.equal(keyIn(store.text!), before);
    assert.notEqual(JSON.parse(store.text!).nextKey, null);
    await assertIsWorker(store, workerId, token);
    assert.notEqual(keyIn(store.text!), before);
    assert.equal(JSON.parse(store.text!).nextKey, null);
  });
}

Deno.test("a rotation whose process died between the answer and the write is carried through by the next start", async () => {
  const { workerId, store, token } = await enrolled();
  const before = keyIn(store.text!);
  let saves = 0;
  const dying: IdentityStore = {
    ...store,
    save: (text) => ++saves > 1 ? Promise.reject(new Error("the power is gone")) : store.save(text),
  };
  await assert.rejects(rotateKey({ url: project.url, identity: dying }), /the power is gone/);
  assert.equal(keyIn(store.text!), before);
  await assertIsWorker(store, workerId, token);
});

Deno.test("a request of a rotation that arrives long after it was given up changes nothing", async () => {
  const { workerId, store, token } = await enrolled();
  let late: (() => Promise<Response>) | undefined;
  const slow: typeof fetch = (input, init) => {
    if (!String(input).endsWith("/rotate")) return fetch(input, init);
    const { method, headers, body } = init!;
    late = () => fetch(input, { method: method!, headers: headers!, body: body! });
    return Promise.reject(new TypeError("timed out"));
  };
  await assert.rejects(rotateKey({ url: project.url, identity: store, fetch: slow }), MusterError);
  await assertIsWorker(store, workerId, token);
  const answer = await late!();
  assert.equal((await answer.json()).code, "proof_invalid");
  await assertIsWorker(store, workerId, token);
});

Deno.test("enrolling again with the same key is one command and the same worker, with what the new token allows", async () => {
  const { tenantId, token, startWorker: start } = await createWorld();
  const folder = await Deno.makeTempDir();
  const identity = join(folder, "identity.json");
  const first = await start({ identity, name: "one" });
  const workerId = first.id;
  first.signal("SIGTERM");
  await first.exitCode();

  await using again = await start({ identity, token, args: ["--re-enroll"], capabilities: ["gpu/cuda"] });
  assert.equal(again.id, workerId);
  const operator = api(project.secretKey, { "x-tenant-id": tenantId });
  const { body } = await operator("/workers");
  assert.deepEqual(body.workers.map(({ id, capabilities }: Record<string, unknown>) => [id, capabilities]), [
    [workerId, ["gpu/cuda"]],
  ]);

  assert.equal((await operator(`/workers/${workerId}/revoke`, { method: "POST" })).status, 200);
  again.signal("SIGTERM");
  await again.exitCode();
  await using refused = new WorkerProcess({ identity, token, args: ["--re-enroll", "--log-format", "text"] });
  assert.equal(await refused.exitCode(), 2);
  assert.match(refused.errors, /it was revoked/);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a machine that forgot which worker it is, but not its key, is that worker again", async () => {
  const { store, workerId, token } = await enrolled();
  const file = JSON.parse(store.text!);
  store.text = JSON.stringify({ ...file, workerId: null, tenantId: null });
  await assertIsWorker(store, workerId, token);
});

type TextStore = IdentityStore & { text: string | null };

function textStore(): TextStore {
  const store: TextStore = {
    text: null,
    place: "memory",
    load: () => Promise.resolve(store.text),
    save(text) {
      store.text = text;
      return Promise.resolve();
    },
  };
  return store;
}

/** A worker that has enrolled and does not run. */
async function enrolled(): Promise<{ store: TextStore; workerId: string; token: string }> {
  const { token } = await createWorld();
  const store = textStore();
  await using worker = new Worker({ url: project.url, enrollmentToken: token, identity: store, realtime: false });
  await worker.start();
  return { store, workerId: worker.id!, token };
}

/** Starts a worker of that identity, which must be the one known, and ends it. */
async function assertIsWorker(identity: IdentityStore, workerId: string, enrollmentToken: string): Promise<void> {
  await using worker = new Worker({ url: project.url, enrollmentToken, identity, realtime: false });
  await worker.start();
  assert.equal(worker.id, workerId);
  await until("it is idle", () => Promise.resolve(worker.runningCount === 0));
}

function keyIn(text: string): string {
  return JSON.parse(text).key.x;
}
