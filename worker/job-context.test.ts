import assert from "node:assert/strict";
import type { Artifacts } from "./artifacts.ts";
import type { JobEvent } from "./attempt.ts";
import { prepareJob } from "./job-context.ts";
import type { Mask } from "./mask.ts";
import { Outbox } from "./outbox.ts";
import { type HeldResource, WorkerResources } from "./worker-resources.ts";

const assignment = {
  jobId: "a",
  attempt: 1,
  type: "test",
  payload: null,
  correlationId: null,
  attemptTimeoutSeconds: 60,
  maxAttempts: 3,
  requires: [],
  inputs: [],
  secrets: ["KEY"],
  concurrencyKey: null,
  concurrencyLimit: 1,
  expiresAt: null,
};

function createWorld(secrets: Record<string, string>) {
  const events: JobEvent[] = [];
  const outbox = new Outbox({
    report: (batch) => {
      events.push(...batch);
      return Promise.resolve([]);
    },
    intervalMs: 0,
  });
  const masks: Mask[] = [];
  const abort = new AbortController();
  let forgotten = 0;
  const held: HeldResource[] = [];
  const resources = new WorkerResources({
    hold: (more) => Promise.resolve(void held.push(...more)),
    release: () => Promise.resolve(),
    log: () => {},
  });
  const job = prepareJob(assignment, abort.signal, {
    ...{ outbox, artifacts: {} as Artifacts, resources, secrets },
    onMask: (mask) => {
      masks.push(mask);
      return () => forgotten += 1;
    },
  });
  return { job, outbox, events, masks, abort, held, resources, forgotten: () => forgotten };
}

Deno.test("a prepared job masks what its handler reports, and keeps the events numbered in order", async () => {
  const { job: { context, finish }, outbox, events } = createWorld({ KEY: "sk-live-4f9a" });
  const { secrets, log, chunk, progress } = context;
  assert.deepEqual({ ...secrets }, { KEY: "sk-live-4f9a" });
  // Nobody awaits them.
  void chunk("it is sk-");
  void chunk("live-");
  void log("in between sk-live-4f9a");
  void chunk("4f9a.");
  void progress(0.5, "sk-live-4f9a");
  void chunk("ends in sk");
  await outbox.delivered(assignment);
  finish();
  await outbox.delivered(assignment);
  outbox.close();
  assert.deepEqual(events.map(({ number, kind, data }) => [number, kind, data]), [
    [1, "log", { level: "info", message: "in between ***" }],
    [2, "chunk", "it is ***"],
    [3, "chunk", ""],
    [4, "chunk", "."],
    [5, "progress", { fraction: 0.5, note: "***" }],
    [6, "chunk", "ends in sk"],
  ]);
});

Deno.test("the secrets of a prepared job are gone once its handler has ended, and the mask's holder is told", () => {
  const { job, outbox, masks, forgotten } = createWorld({ KEY: "sk-live-4f9a" });
  const { secrets } = job.context;
  assert.equal(masks[0], job.mask);
  assert.equal(forgotten(), 0);
  job.finish();
  outbox.close();
  assert.deepEqual([{ ...secrets }, forgotten()], [{}, 1]);
  assert.equal(job.mask.text("late sk-live-4f9a"), "late ***");
});

Deno.test("nothing of a stopped attempt is told, not even what waited", async () => {
  const { job, outbox, events, abort } = createWorld({ KEY: "sk-live-4f9a" });
  void job.context.chunk("ends in sk");
  abort.abort();
  job.finish();
  await outbox.delivered(assignment);
  outbox.close();
  assert.deepEqual(events, []);
});

Deno.test("a prepared job masks what its handler tells of a resource", async () => {
  const { job: { context }, held, resources } = createWorld({ KEY: "hunter2-hunter2" });
  await context.resources.hold("session hunter2-hunter2", { metadata: { cookie: "hunter2-hunter2" } });
  resources.close();
  assert.deepEqual(held, [{ name: "session ***", leaseSeconds: 300, sizeBytes: null, metadata: { cookie: "***" } }]);
});
