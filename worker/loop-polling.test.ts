import assert from "node:assert/strict";
import { Loop } from "./loop.ts";
import { Mask } from "./mask.ts";
import { Results } from "./results.ts";
import type { WorkerMode, WorkerRpc } from "./rpc.ts";
import { Runner } from "./runner.ts";

/** A loop over a control plane that has no work, wants to be polled every 5 ms, and says what `deaf` says. */
function createWorld({ mode = "push" }: { mode?: WorkerMode } = {}) {
  const said = { claims: 0, deaf: 0, hello: [] as unknown[] };
  const answers = { deaf: false };
  const rpc: WorkerRpc = {
    hello: ({ mode, listening }) => {
      said.hello.push({ mode, listening });
      return Promise.resolve({
        name: "test",
        slots: 1,
        capabilities: [],
        heartbeatSeconds: 60,
        idleHeartbeatSeconds: 60,
        pollSeconds: 0.005,
        wakeNonce: null,
        stop: [],
        jobs: [],
      });
    },
    heartbeat: () =>
      Promise.resolve({
        nextSeconds: 60,
        busySeconds: null,
        pollSeconds: 0.005,
        deaf: answers.deaf,
        resync: false,
        stop: [],
        jobs: [],
        commands: [],
      }),
    claimJobs: () => {
      said.claims += 1;
      return Promise.resolve({ jobs: [], again: false });
    },
    completeJobs: () => Promise.resolve({ outcomes: [], jobs: [] }),
    reportEvents: () => Promise.resolve([]),
    holdResources: () => Promise.resolve(),
    releaseResources: () => Promise.resolve(),
    goodbye: () => Promise.resolve(),
  };
  const runner = new Runner({
    handlers: new Map(),
    prepare: () => ({ context: {} as never, mask: new Mask([]), finish: () => {} }),
    onResult: () => {},
    log: () => {},
  });
  const loop = new Loop({
    rpc,
    runner,
    results: new Results({ spool: undefined, log: () => {} }),
    slots: 1,
    mode,
    hello: () => ({ capabilities: [], labels: {}, resources: {}, slots: 1, version: "0", sessionId: "s" }),
    metrics: () => ({}),
    log: () => {},
    onCommand: () => {},
    onDeaf: () => said.deaf += 1,
    onChange: () => {},
  });
  return { loop, said, answers };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const endsAt = performance.now() + 10_000; !condition();) {
    if (performance.now() > endsAt) throw new Error(`Never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

Deno.test("Loop polls while it hears nothing, and again once its channel is lost", async () => {
  const { loop, said } = createWorld();
  await loop.hello();
  const running = loop.run();
  await until("it polled three times", () => said.claims >= 3);

  loop.channelOpened();
  loop.woken("n1");
  await until("it listens", () => loop.listening.active);
  const before = said.claims;
  loop.channelClosed();
  await until("it polls again", () => said.claims >= before + 3);
  loop.end();
  await running;
});

Deno.test("Loop that is told it is deaf polls, though its channel is joined, until it hears a wake", async () => {
  const { loop, said, answers } = createWorld();
  await loop.hello();
  const running = loop.run();
  loop.channelOpened();
  loop.woken("n1");
  await until("it listens", () => loop.listening.active);

  answers.deaf = true;
  loop.nudge("heartbeat");
  await until("it takes the verdict", () => !loop.listening.active);
  assert.equal(said.deaf, 1);
  const before = said.claims;
  await until("it polls", () => said.claims >= before + 3);

  answers.deaf = false;
  loop.woken("n2");
  await until("it listens again", () => loop.listening.active);
  loop.end();
  await running;
});

Deno.test("Loop in claim mode says so, claims when it is called, and takes no notice of how often others poll", async () => {
  const { loop, said } = createWorld({ mode: "claim" });
  await loop.hello();
  assert.deepEqual(said.hello, [{ mode: "claim", listening: false }]);
  const running = loop.run();
  await until("it has looked for what waits", () => said.claims === 1);
  for (let calls = 2; calls < 6; calls += 1) {
    loop.called();
    await until("it claims", () => said.claims === calls);
  }
  // Others poll every 5 ms here; its own first poll comes after half a second at the earliest.
  const endsAt = performance.now() + 100;
  await until("some time is over", () => performance.now() > endsAt);
  assert.equal(said.claims, 5);
  loop.end();
  await running;
});
