import assert from "node:assert/strict";
import fc from "fast-check";
import { violations } from "../support/invariants.ts";
import { anySequence, Clients, describe, gatedSequence, type Step } from "./intents.ts";
import type { Answer } from "./vocabulary.ts";
import { explain, NoOrderError } from "./serial-order.ts";
import { Stage } from "./stage.ts";

// Fewer are for trying something out, and for the mutation check; a seed is repeated with as many as it failed with.
const sequences = Number(Deno.env.get("MUSTER_TEST_SEQUENCES") ?? 2_000);
/** Databases that are worked on at a time. */
const lanes = 4;

Deno.test("whatever is called at once, each answer and each row is that of some order of the calls", async () => {
  // The same sequences every time; other seeds are for a longer search.
  const seed = Number(Deno.env.get("MUSTER_TEST_SEED") ?? 1);
  const total = { sequences: 0, calls: 0, waits: 0, overlaps: 0, passedOver: 0 };
  const events = new Map<string, number>(eventsToMeet.map((name) => [name, 0]));
  const startedAt = performance.now();
  let failing: Stage | undefined;
  const failures = await Promise.all(Array.from({ length: lanes }, async (_, lane) => {
    await using stage = await Stage.open();
    const property = fc.asyncProperty(anySequence, async (steps) => {
      // Once one has failed, there is nothing to learn from the others.
      if (failing !== undefined && failing !== stage) return;
      total.sequences += 1;
      const { overlaps, passedOver } = await play(stage, steps, events).catch((error) => {
        failing ??= stage;
        throw error;
      });
      total.overlaps += overlaps;
      total.passedOver += passedOver;
    });
    const result = await fc.check(property, { numRuns: Math.ceil(sequences / lanes), seed: seed + lane });
    total.calls += stage.calls;
    total.waits += stage.waits;
    if (!result.failed) return [];
    const { steps, why } = await shortest(stage, result.counterexample![0]);
    return [
      `MUSTER_TEST_SEED=${seed} repeats this (database ${lane + 1} of ${lanes}, after ${result.numRuns} sequences):\n` +
      `${describe(steps)}\n${why}`,
    ];
  }));
  if (failures.flat().length > 0) assert.fail(failures.flat().join("\n\n"));
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(
    `${total.sequences} sequences, ${total.calls} calls, of which ${total.waits} waited for a lock; ${total.overlaps} ` +
      `steps of several calls, of which ${total.passedOver} passed over locked rows; ${seconds} s, seed ${seed}`,
  );
  console.log([...events].map(([name, count]) => `${count} ${name}`).join(", "));
  assert.ok(total.sequences >= sequences, `at least ${sequences} sequences`);
  for (const [name, count] of events) assert.ok(count > 0 || sequences < 2_000, `nothing was seen of: ${name}`);
  assert.ok(total.waits >= sequences / 10, `too few calls met a lock: ${total.waits}`);
});

Deno.test("whatever is called one after the other, dependencies, rejections and replacements go by the model", async () => {
  const seed = Number(Deno.env.get("MUSTER_TEST_SEED") ?? 1);
  const met = new Map<string, number>();
  const failures = await Promise.all(Array.from({ length: lanes }, async (_, lane) => {
    await using stage = await Stage.open();
    const property = fc.asyncProperty(gatedSequence, async (steps) => {
      await play(stage, steps, met);
      const rows = await stage.sql`
        select coalesce(error ->> 'code', waiting_for) as code, count(*)::integer from muster.jobs group by 1`;
      for (const { code, count } of rows) met.set(code, (met.get(code) ?? 0) + count);
    });
    const result = await fc.check(property, { numRuns: Math.ceil(sequences / 8 / lanes), seed: seed + lane });
    if (!result.failed) return [];
    const { steps, why } = await shortest(stage, result.counterexample![0]);
    return [`MUSTER_TEST_SEED=${seed} repeats this (database ${lane + 1} of ${lanes}):\n${describe(steps)}\n${why}`];
  }));
  if (failures.flat().length > 0) assert.fail(failures.flat().join("\n\n"));
  for (const code of ["dependencies", "concurrency", "dependency_failed", "replaced", "refused"]) {
    assert.ok(met.has(code) || sequences < 2_000, `nothing was seen of: ${code}`);
  }
});

async function play(
  stage: Stage,
  steps: readonly Step[],
  events = new Map<string, number>(),
): Promise<{ overlaps: number; passedOver: number }> {
  let state = await stage.reset();
  const count = { overlaps: 0, passedOver: 0 };
  const clients = new Clients(state.workers.length);
  for (const [index, step] of steps.entries()) {
    if (typeof step === "number") {
      await stage.pass(step);
      state.now += step;
      continue;
    }
    const calls = step.map((intent, place) => clients.callOf(intent, state, index * 3 + place));
    const answers = await stage.play(calls, state.now);
    const explained = explain(state, calls, { answers, state: await stage.look() });
    state = explained.state;
    if (calls.length > 1) count.overlaps += 1;
    if (explained.passedOver) count.passedOver += 1;
    for (const [place, intent] of step.entries()) clients.hear(intent, calls[place]!, answers[place]!);
    for (const [name, count] of answers.flatMap(eventsOf)) events.set(name, (events.get(name) ?? 0) + count);
  }
  assert.deepEqual(await violations(stage.sql, { prepared: true }), []);
  return count;
}

/** What has to happen somewhere in all the sequences: without it they would prove little. */
const eventsToMeet = [
  "lost_workers",
  "overdue_attempts",
  "expired_jobs",
  "due_jobs",
  "assigned_jobs",
  "accepted",
  "retrying",
  "stale",
  "stopped",
  "deaf",
  "known jobs",
  "drains",
];

function eventsOf(answer: Answer): [string, number][] {
  const list = (name: string) => (Array.isArray(answer[name]) ? answer[name] : []) as unknown[];
  const counts = Object.entries(answer).filter((entry): entry is [string, number] =>
    eventsToMeet.includes(entry[0]) && typeof entry[1] === "number"
  );
  return [
    ...counts,
    ...list("outcomes").map((outcome): [string, number] => [String(outcome), 1]),
    ["stopped", list("stop").length],
    ["deaf", answer.deaf === true ? 1 : 0],
    ["known jobs", list("jobs").filter((job) => (job as { created?: boolean }).created === false).length],
    ["drains", list("commands").length],
    ...(answer.refused === undefined ? [] : [["refused", 1] as [string, number]]),
  ];
}

/** Leaves out of a failing sequence, which fast-check has shrunk, whatever it fails without as well. */
async function shortest(stage: Stage, failing: readonly Step[]): Promise<{ steps: readonly Step[]; why: string }> {
  let steps = failing;
  let why = await failureOf(stage, steps);
  for (let left = true; left;) {
    left = false;
    for (const shorter of shortened(steps)) {
      const reason = await failureOf(stage, shorter);
      if (reason === null) continue;
      [steps, why, left] = [shorter, reason, true];
      break;
    }
  }
  return { steps, why: why ?? "It does not fail each time: its calls race for a lock" };
}

function shortened(steps: readonly Step[]): Step[][] {
  return steps.flatMap((step, index) => [
    steps.toSpliced(index, 1),
    ...(typeof step === "number" || step.length < 2
      ? []
      : step.map((_, place) => steps.toSpliced(index, 1, step.toSpliced(place, 1)))),
  ]);
}

async function failureOf(stage: Stage, steps: readonly Step[]): Promise<string | null> {
  try {
    await play(stage, steps);
    return null;
  } catch (error) {
    if (error instanceof NoOrderError || error instanceof assert.AssertionError) return error.message;
    return error instanceof Error ? error.stack ?? error.message : String(error);
  }
}
