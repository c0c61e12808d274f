import assert from "node:assert/strict";
import type { WorkerEvent } from "./log.ts";
import { Mask } from "./mask.ts";
import { Masks } from "./masks.ts";

Deno.test("Masks takes the secrets of all attempts that run out of texts and log lines, and for a while after", () => {
  const masks = new Masks();
  const told: WorkerEvent[] = [];
  const log = masks.log((event) => told.push(event));
  const line = {
    level: "info",
    event: "x",
    message: "first-secret second-secret",
    fields: { a: ["second-secret"] },
  } as const;
  log(line);
  const endFirst = masks.hold(new Mask(["first-secret"]));
  masks.hold(new Mask(["second-secret"]));
  masks.hold(new Mask([]))();
  endFirst();
  log(line);
  assert.deepEqual(told, [line, { ...line, message: "*** ***", fields: { a: ["***"] } }]);
  assert.equal(masks.text("second-secret!"), "***!");
});
