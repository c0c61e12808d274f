import assert from "node:assert/strict";
import { jsonLine, textLine } from "./log-line.ts";

const at = new Date("2026-01-01T12:00:00.500Z");

Deno.test("a line for people is one line and steers no terminal, whatever a handler's error says", () => {
  const message = "job failed: \x1b[2J\x1b]0;owned\x07first\r\nsecond\x9b31m";
  assert.equal(
    textLine({ level: "error", event: "job.failed", message }, at),
    "12:00:00.500 ERROR job failed: [2J]0;ownedfirst second31m",
  );
});

Deno.test("a line for machines keeps every character", () => {
  const message = "\x1b[2J\n\x9b";
  const line = jsonLine({ level: "info", event: "job.failed", message, fields: { jobId: "1" } }, at);
  assert.ok(!line.includes("\n"));
  assert.deepEqual(JSON.parse(line), {
    time: at.toISOString(),
    level: "info",
    event: "job.failed",
    message,
    jobId: "1",
  });
});

Deno.test("a line holds no key or token, for people and for machines", () => {
  const secret = "mse_0123456789abcdefghijklmnop";
  const event = {
    level: "error",
    event: "x.y",
    message: `cannot use ${secret}`,
    fields: { token: "opaque", why: [secret] },
  } as const;
  for (const line of [textLine(event, at), jsonLine(event, at)]) assert.doesNotMatch(line, /0123456789|opaque/);
});
