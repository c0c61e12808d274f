import { createHash } from "node:crypto";
import { z } from "zod";
import { sleep } from "../../../shared/sleep.ts";
import { defineHandler, FinalError } from "../../../worker/index.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const base64 = (text: string) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

/** Answers what only who has the values can: their hashes. */
const use = defineHandler({
  type: "test.secret.use",
  payload: z.unknown(),
  handle: ({ secrets }) => Object.fromEntries(Object.entries(secrets).map(([name, value]) => [name, sha256(value)])),
});

/** Tells its secrets in every way a handler has, as careless code does. */
const tell = defineHandler({
  type: "test.secret.tell",
  payload: z.object({ how: z.enum(["report", "stream", "throw", "throw-details", "throw-code", "return", "reject"]) }),
  async handle({ payload, secrets, log, progress, chunk, artifact }) {
    for (const [name, value] of Object.entries(secrets)) {
      switch (payload.how) {
        case "report":
          await log(`${name} is ${value}`);
          await log(JSON.stringify({ name, value }), "error");
          await log(`https://x.test/?key=${encodeURIComponent(value)}&basic=${base64(`user:${value}`)}`);
          await log(value.repeat(3).slice(0, 12_000));
          await progress(0.5, `with ${value}`);
          await chunk({ [value]: [value, { deep: `<${value}>` }] });
          await artifact(`report of ${value}.txt`, "nothing to see");
          break;
        case "stream":
          for (const character of value) void chunk(character);
          for (let at = 0; at < value.length; at += 3) void chunk({ delta: value.slice(at, at + 3), at });
          break;
        case "throw":
          throw new Error(`Cannot sign in with ${value}`, { cause: new Error(value) });
        case "throw-details":
          throw new FinalError(`refused: ${JSON.stringify(value)}`, {
            code: "refused",
            details: { value, tried: [value] },
          });
        case "throw-code":
          throw Object.assign(new Error(encodeURIComponent(value)), { code: value });
        case "reject":
          void Promise.reject(new Error(`left alone with ${value}`));
          break;
        case "return":
      }
    }
    return payload.how === "return" ? { ...secrets, toJSON: () => ({ list: Object.values(secrets) }) } : null;
  },
});

/** Answers with its secrets once a file is there. */
const held = defineHandler({
  type: "test.secret.held",
  payload: z.object({ untilFile: z.string() }),
  async handle({ payload, secrets, signal }) {
    while (!signal.aborted && !await Deno.stat(payload.untilFile).then(() => true, () => false)) {
      await sleep(20, signal);
    }
    return { ...secrets };
  },
});

/** Gives a secret away on purpose, by a file of its own: that is the handler's matter. */
const leak = defineHandler({
  type: "test.secret.leak",
  payload: z.unknown(),
  handle: async ({ secrets, artifact }) => void await artifact("leak.txt", Object.values(secrets).join("\n")),
});

export default [use, tell, held, leak];
