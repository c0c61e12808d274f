import assert from "node:assert/strict";
import { UnavailableError, WorkerRevokedError } from "../shared/errors.ts";
import type { Assignment, AttemptResult } from "./attempt.ts";
import { Loop } from "./loop.ts";
import { Mask } from "./mask.ts";
import type { HeartbeatRequest, HelloAnswer, WorkerRpc } from "./rpc.ts";
import { Results } from "./results.ts";
import { Runner } from "./runner.ts";

function assignment(jobId: string): Assignment {
  return {
    jobId,
    attempt: 1,
    type: "test",
    payload: null,
    correlationId: null,
    attemptTimeoutSeconds: 60,
    maxAttempts: 3,
    requires: [],
    inputs: [],
    secrets: [],
    concurrencyKey: null,
    concurrencyLimit: 1,
    expiresAt: null,
  };
}

const greeting: HelloAnswer = {
  name: "test",
  slots: 2,
  capabilities: [],
  heartbeatSeconds: 5,
  idleHeartbeatSeconds: 30,
  pollSeconds: 1,
  wakeNonce: null,
  stop: [],
  jobs: [],
};
const beat = { nextSeconds: 30, pollSeconds: 1, deaf: false, resync: false, stop: [], jobs: [], commands: [] };

/** A loop over a control plane that the test plays: each call is noted, and waits for `answer()`. */
function createWorld(slots = 2, random: () => number = () => 0) {
  const calls: { name: string; input: unknown; resolve: (value: unknown) => void; reject: (error: unknown) => void }[] =
    [];
  const over = new AbortController();
  let called = Promise.withResolvers<void>();
  const call = (name: string, input: unknown) =>
    // deno-lint-ignore no-explicit-any -- each test gives the answer that belongs to the call
    new Promise<any>((resolve, reject) => {
      calls.push({ name, input, resolve, reject });
      over.signal.addEventListener("abort", () => reject(new UnavailableError("over")));
      called.resolve();
      called = Promise.withResolvers<void>();
    });
  const rpc: WorkerRpc = {
    hello: (_worker, running) => call("hello", running),
    heartbeat: (request) => call("heartbeat", request),
    claimJobs: async (want) => ({ again: false, jobs: await call("claim", want) }),
    completeJobs: (results, want) => call("complete", { results, want }),
    reportEvents: (events) => call("events", events),
    holdResources: () => Promise.resolve(),
    releaseResources: () => Promise.resolve(),
    goodbye: (reason) => call("goodbye", reason),
  };
  const eventsStored = Promise.withResolvers<void>();
  const ends = new Map<string, (value: unknown) => void>();
  const runner: Runner = new Runner({
    handlers: new Map([["test", (job) => new Promise((resolve) => ends.set(job.id, resolve))]]),
    prepare: ({ jobId: id }, signal) => ({
      context: { id, signal } as never,
      mask: new Mask([]),
      finish: () => {},
    }),
    onResult: (result) => loop.complete(result, eventsStored.promise),
    log: () => {},
  });
  const loop: Loop = new Loop({
    rpc,
    runner,
    results: new Results({ spool: undefined, log: () => {} }),
    slots,
    hello: () => ({ capabilities: [], labels: {}, resources: {}, slots, version: "0", sessionId: "s" }),
    metrics: () => ({}),
    log: () => {},
    random,
    onCommand: () => {},
    onDeaf: () => {},
    onChange: () => {},
  });
  /** The next call, when it comes; it must be the one named. */
  async function expect(name: string) {
    while (calls.length === 0) await called.promise;
    const next = calls.shift()!;
    assert.equal(next.name, name);
    return next;
  }
  async function start(storedAtOnce = true) {
    if (storedAtOnce) eventsStored.resolve();
    const hello = loop.hello();
    (await expect("hello")).resolve(greeting);
    await hello;
    return { running: loop.run() };
  }
  /** Ends the loop and whatever call it waits for. */
  async function end(running: Promise<void>) {
    loop.end();
    over.abort();
    await running;
  }
  return { loop, runner, calls, ends, expect, start, end, storeEvents: eventsStored.resolve };
}

/** Lets everything happen that waits for nothing. */
const turn = () => new Promise((resolve) => setTimeout(resolve));

type Completion = { results: AttemptResult[]; want: number };

Deno.test("Loop claims at once after hello, as many jobs as it has slots", async () => {
  const { expect, start, end, runner } = createWorld(2);
  const { running } = await start();
  const claim = await expect("claim");
  assert.equal(claim.input, 2);
  claim.resolve([assignment("a")]);
  await turn();
  await end(running);
  assert.deepEqual(runner.running(), [{ jobId: "a", attempt: 1 }]);
});

Deno.test("Loop makes one more call for all the nudges that come during a call", async () => {
  const { loop, expect, start, end, calls } = createWorld();
  const { running } = await start();
  const first = await expect("claim");
  for (let count = 0; count < 5; count += 1) loop.nudge("claim");
  first.resolve([]);
  (await expect("claim")).resolve([]);
  await turn();
  assert.deepEqual(calls, []);
  await end(running);
});

Deno.test("Loop delivers results that come together in one call, which hands over the next jobs", async () => {
  const { expect, start, end, ends, runner } = createWorld(2);
  const { running } = await start();
  (await expect("claim")).resolve([assignment("a"), assignment("b")]);
  while (ends.size < 2) await turn();
  ends.get("a")!(1);
  ends.get("b")!(2);
  const complete = await expect("complete");
  const { results, want } = complete.input as Completion;
  assert.deepEqual(results.map(({ jobId }) => jobId), ["a", "b"]);
  assert.equal(want, 2);
  complete.resolve({ outcomes: [], jobs: [assignment("c"), assignment("d")] });
  while (ends.size < 4) await turn();
  assert.equal(runner.count, 2);
  await end(running);
});

Deno.test("Loop keeps a result while the control plane is away, and names its attempt until it is delivered", async () => {
  const { loop, expect, start, end, ends } = createWorld(1);
  const { running } = await start();
  (await expect("claim")).resolve([assignment("a")]);
  while (ends.size < 1) await turn();
  ends.get("a")!(1);
  (await expect("complete")).reject(new UnavailableError("down"));
  const heartbeat = await expect("heartbeat");
  assert.deepEqual((heartbeat.input as HeartbeatRequest).running, [{ jobId: "a", attempt: 1 }]);
  assert.equal((heartbeat.input as HeartbeatRequest).want, 0);
  heartbeat.resolve(beat);
  const again = await expect("complete");
  again.resolve({ outcomes: [{ jobId: "a", attempt: 1, outcome: "accepted" }], jobs: [] });
  await loop.delivered(new AbortController().signal);
  assert.equal(loop.results.size, 0);
  await end(running);
});

Deno.test("Loop stops what the heartbeat's answer names, and asks for other work", async () => {
  const { loop, expect, start, end, runner } = createWorld(1);
  const { running } = await start();
  (await expect("claim")).resolve([assignment("a")]);
  loop.nudge("heartbeat");
  const stop = [{ jobId: "a", attempt: 1, reason: "cancelled" }];
  (await expect("heartbeat")).resolve({ ...beat, stop });
  assert.equal((await expect("claim")).input, 1);
  assert.equal(runner.count, 0);
  await end(running);
});

Deno.test("Loop says hello again when the answer asks for it, with what it still runs", async () => {
  const { loop, expect, start, end } = createWorld(1);
  const { running } = await start();
  (await expect("claim")).resolve([assignment("a")]);
  loop.nudge("heartbeat");
  (await expect("heartbeat")).resolve({ ...beat, resync: true });
  assert.deepEqual((await expect("hello")).input, [{ jobId: "a", attempt: 1 }]);
  await end(running);
});

Deno.test("Loop claims nothing while it drains", async () => {
  const { loop, expect, start, end, ends } = createWorld(2);
  const { running } = await start();
  (await expect("claim")).resolve([assignment("a")]);
  while (ends.size < 1) await turn();
  loop.drain();
  const heartbeat = await expect("heartbeat");
  assert.equal((heartbeat.input as HeartbeatRequest).draining, true);
  assert.equal((heartbeat.input as HeartbeatRequest).want, 0);
  heartbeat.resolve(beat);
  loop.nudge("claim");
  ends.get("a")!(1);
  assert.equal(((await expect("complete")).input as Completion).want, 0);
  await end(running);
});

Deno.test("Loop listens once it has heard a wake, and echoes the nonce", async () => {
  const { loop, expect, start, end } = createWorld(1);
  const { running } = await start();
  (await expect("claim")).resolve([]);
  loop.channelOpened();
  (await expect("hello")).resolve(greeting);
  assert.equal(loop.listening.active, false);
  loop.woken("n1");
  const heartbeat = await expect("heartbeat");
  assert.equal((heartbeat.input as HeartbeatRequest).wakeNonce, "n1");
  assert.equal((heartbeat.input as HeartbeatRequest).listening, true);
  assert.equal(loop.listening.active, true);
  loop.channelClosed();
  assert.equal(loop.listening.active, false);
  await end(running);
});

Deno.test("Loop ends when the worker was revoked", async () => {
  const { expect, start } = createWorld();
  const { running } = await start();
  (await expect("claim")).reject(new WorkerRevokedError("revoked"));
  await assert.rejects(running, WorkerRevokedError);
});

Deno.test("Loop sends a result after its events, and answers for its attempt meanwhile", async () => {
  const { loop, expect, start, end, ends, calls, storeEvents } = createWorld(1);
  const { running } = await start(false);
  (await expect("claim")).resolve([assignment("a")]);
  while (ends.size < 1) await turn();
  ends.get("a")!(1);
  loop.nudge("heartbeat");
  const heartbeat = await expect("heartbeat");
  assert.deepEqual((heartbeat.input as HeartbeatRequest).running, [{ jobId: "a", attempt: 1 }]);
  heartbeat.resolve(beat);
  await turn();
  assert.deepEqual(calls, []);
  storeEvents();
  await expect("complete");
  await end(running);
});

Deno.test("Loop still sends a result whose attempt was replaced, for evidence, and does not answer for it any more", async () => {
  const { loop, expect, start, end, ends } = createWorld(1);
  const { running } = await start();
  (await expect("claim")).resolve([assignment("a")]);
  while (ends.size < 1) await turn();
  ends.get("a")!(1);
  (await expect("complete")).reject(new UnavailableError("down"));
  const stop = [{ jobId: "a", attempt: 1, reason: "replaced" }];
  (await expect("heartbeat")).resolve({ ...beat, stop });
  const late = await expect("complete");
  assert.deepEqual((late.input as Completion).results.map(({ jobId }) => jobId), ["a"]);
  assert.equal((late.input as Completion).want, 1);
  assert.deepEqual(loop.results.waiting(), []);
  late.resolve({ outcomes: [{ jobId: "a", attempt: 1, outcome: "stale" }], jobs: [] });
  await loop.delivered(new AbortController().signal);
  await end(running);
});

Deno.test("Loop says hello before anything else after an absence, and trusts the channel only when it is heard again", async () => {
  const { loop, expect, start, end } = createWorld(1);
  const { running } = await start();
  (await expect("claim")).resolve([]);
  loop.channelOpened();
  (await expect("hello")).resolve(greeting);
  loop.woken("n1");
  const heartbeat = await expect("heartbeat");
  loop.nudge("claim");
  loop.wasAway();
  assert.equal(loop.listening.active, false);
  heartbeat.resolve(beat);
  (await expect("hello")).resolve(greeting);
  await expect("claim");
  await end(running);
});

Deno.test("Loop starts nothing that a late answer brings after its end", async () => {
  const { expect, start, loop, runner } = createWorld(1);
  const { running } = await start();
  const claim = await expect("claim");
  loop.end();
  claim.resolve([assignment("a")]);
  await running;
  await turn();
  assert.equal(runner.count, 0);
});

Deno.test("Loop breaks off its pause after a failure when it drains: results have little time left", async () => {
  // Its jitter makes a pause of hours.
  const { expect, start, end, ends, loop } = createWorld(1, () => 1e6);
  const { running } = await start();
  (await expect("claim")).resolve([assignment("a")]);
  while (ends.size < 1) await turn();
  ends.get("a")!(1);
  (await expect("complete")).reject(new UnavailableError("down"));
  await turn();
  loop.drain();
  (await expect("heartbeat")).resolve(beat);
  await expect("complete");
  await end(running);
});

Deno.test("Loop tries once more after its end to deliver what waits", async () => {
  const { expect, start, end, ends, loop } = createWorld(1);
  const { running } = await start();
  (await expect("claim")).resolve([assignment("a")]);
  while (ends.size < 1) await turn();
  loop.nudge("heartbeat");
  const heartbeat = await expect("heartbeat");
  ends.get("a")!(1);
  await turn();
  loop.end();
  heartbeat.resolve(beat);
  await running;
  const rest = loop.deliverRest();
  (await expect("complete")).resolve({ outcomes: [{ jobId: "a", attempt: 1, outcome: "accepted" }], jobs: [] });
  await rest;
  assert.equal(loop.results.isEmpty, true);
  await end(running);
});

Deno.test("Loop drains for as long as an operator says so", async () => {
  const { expect, start, end, loop } = createWorld(1);
  const { running } = await start();
  (await expect("claim")).resolve([]);
  for (const commands of [["drain"], []]) {
    loop.nudge("heartbeat");
    (await expect("heartbeat")).resolve({ ...beat, commands });
    await turn();
    assert.equal(loop.draining, commands.length > 0);
  }
  await end(running);
});
