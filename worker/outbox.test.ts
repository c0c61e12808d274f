import assert from "node:assert/strict";
import { InvalidRequestError, UnavailableError } from "../shared/errors.ts";
import type { JobEvent } from "./attempt.ts";
import { Outbox } from "./outbox.ts";

function event(number: number, more: Partial<JobEvent> = {}): JobEvent {
  return { jobId: "a", attempt: 1, number, kind: "log", data: null, ...more };
}

const numbers = (calls: (readonly JobEvent[])[]) => calls.map((events) => events.map(({ number }) => number));

Deno.test("Outbox sends what was added in one turn in one call, in order", async () => {
  const calls: (readonly JobEvent[])[] = [];
  const outbox = new Outbox({ report: (events) => Promise.resolve((calls.push(events), [])) });
  for (let number = 1; number <= 3; number += 1) void outbox.add(event(number), 10);
  await outbox.delivered(event(0));
  assert.deepEqual(numbers(calls), [[1, 2, 3]]);
});

Deno.test("Outbox keeps only the latest progress that waits", async () => {
  const calls: (readonly JobEvent[])[] = [];
  const outbox = new Outbox({ report: (events) => Promise.resolve((calls.push(events), [])) });
  void outbox.add(event(1, { kind: "progress" }), 10);
  void outbox.add(event(2, { kind: "progress" }), 10);
  void outbox.add(event(3), 10);
  void outbox.add(event(4, { kind: "progress" }), 10);
  await outbox.delivered(event(0));
  assert.deepEqual(numbers(calls), [[2, 3, 4]]);
});

Deno.test("Outbox splits what is too much for one call", async () => {
  const calls: (readonly JobEvent[])[] = [];
  const outbox = new Outbox({ report: (events) => Promise.resolve((calls.push(events), [])), intervalMs: 0 });
  for (let number = 1; number <= 501; number += 1) void outbox.add(event(number), 10);
  await outbox.delivered(event(0));
  assert.deepEqual(calls.map((events) => events.length), [500, 1]);
});

Deno.test("Outbox sends again what was not delivered, before what came later", async () => {
  const calls: (readonly JobEvent[])[] = [];
  const outbox = new Outbox({
    random: () => 0,
    report: (events) => {
      calls.push(events);
      if (calls.length === 1) {
        void outbox.add(event(2), 10);
        return Promise.reject(new UnavailableError("no answer"));
      }
      return Promise.resolve([]);
    },
  });
  void outbox.add(event(1), 10);
  await outbox.delivered(event(0));
  assert.deepEqual(numbers(calls), [[1], [1, 2]]);
});

Deno.test("Outbox gives up events that are refused, and those of attempts that are over", async () => {
  let dropped = 0;
  const stale: string[] = [];
  const outbox = new Outbox({
    report: ([first]) =>
      first?.jobId === "bad" ? Promise.reject(new InvalidRequestError("no")) : Promise.resolve([event(0)]),
    onDropped: (count) => dropped += count,
    onStale: ({ jobId }) => stale.push(jobId),
    intervalMs: 0,
  });
  await outbox.add(event(1, { jobId: "bad" }), 10);
  await outbox.delivered(event(1, { jobId: "bad" }));
  await outbox.add(event(1), 10);
  await outbox.delivered(event(1));
  assert.equal(dropped, 1);
  assert.deepEqual(stale, ["a"]);
  assert.equal(outbox.size, 0);
});

Deno.test("Outbox finds the one event that spoils a batch and delivers the others", async () => {
  const stored: number[] = [];
  let dropped = 0;
  const outbox = new Outbox({
    report(events) {
      if (events.some(({ number }) => number === 2)) return Promise.reject(new InvalidRequestError("no"));
      stored.push(...events.map(({ number }) => number));
      return Promise.resolve([]);
    },
    onDropped: (count) => dropped += count,
    intervalMs: 0,
  });
  for (let number = 1; number <= 4; number += 1) void outbox.add(event(number), 10);
  await outbox.delivered(event(0));
  assert.deepEqual(stored, [1, 3, 4]);
  assert.equal(dropped, 1);
});

Deno.test("Outbox gives up what nobody awaits rather than grow without a bound", async () => {
  let dropped = 0;
  const outbox = new Outbox({
    report: () => new Promise(() => {}),
    onDropped: (count) => dropped += count,
  });
  for (let number = 1; number <= 40; number += 1) void outbox.add(event(number), 1024 * 1024);
  await Promise.resolve();
  assert.ok(dropped >= 7 && outbox.size <= 32, `${dropped} dropped, ${outbox.size} wait`);
  outbox.close();
});

Deno.test("Outbox says that an attempt's events are delivered only when the call that carries them was answered", async () => {
  const answer = Promise.withResolvers<[]>();
  const called = Promise.withResolvers<void>();
  const outbox = new Outbox({
    report: () => {
      called.resolve();
      return answer.promise;
    },
  });
  void outbox.add(event(1), 10);
  await called.promise;
  let isDelivered = false;
  const delivered = outbox.delivered(event(0)).then(() => isDelivered = true);
  // More turns than a promise that is settled already would take.
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve();
  assert.equal(isDelivered, false);
  answer.resolve([]);
  await delivered;
});
