import process from "node:process";
import { z } from "zod";
import { defineHandler } from "../../../worker/index.ts";

/** Takes its time, and ends early when it is told to. */
const sleep = defineHandler({
  type: "test.sleep",
  payload: z.object({ seconds: z.number() }),
  handle: ({ payload, signal, attempt }) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => resolve({ attempt }), payload.seconds * 1000);
      signal.addEventListener("abort", () => {
        clearTimeout(timer);
        reject(signal.reason);
      });
    }),
});

/** Fails so many times before it succeeds. */
const flaky = defineHandler({
  type: "test.flaky",
  payload: z.object({ failures: z.number() }),
  handle({ payload, attempt }) {
    if (attempt <= payload.failures) throw new Error(`attempt ${attempt} fails on purpose`);
    return { attempt };
  },
});

/** Reports all that a handler can report. */
const talk = defineHandler({
  type: "test.talk",
  payload: z.object({ chunks: z.number() }),
  async handle({ payload, progress, log, chunk }) {
    await log("begins", "debug");
    for (let number = 1; number <= payload.chunks; number += 1) await chunk({ number });
    await progress(0.5, "half way");
    await log("ends");
    return null;
  },
});

/** Returns what cannot be a result. */
const huge = defineHandler({
  type: "test.huge",
  payload: z.unknown(),
  handle: () => "x".repeat(300 * 1024),
});

/** Ends its worker before it gives way to anything, as one does that runs out of memory. */
const crash = defineHandler({
  type: "test.crash",
  payload: z.unknown(),
  handle: () => {
    process.kill(process.pid, "SIGKILL");
    // Till the signal is there.
    for (;;);
  },
});

export default [sleep, flaky, talk, huge, crash];
