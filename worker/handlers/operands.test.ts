import assert from "node:assert/strict";
import { FinalError } from "../final-error.ts";
import type { JobContext } from "../job-context.ts";
import { calcAdd } from "./calc-add.ts";
import { calcMul } from "./calc-mul.ts";

const job = (payload: unknown) => ({ payload }) as JobContext;

Deno.test("calc.add and calc.mul take a and b, or a list of numbers", () => {
  assert.deepEqual(calcAdd.handle(job({ a: 2, b: 3 })), { sum: 5 });
  assert.deepEqual(calcAdd.handle(job({ numbers: [1, 2, 3] })), { sum: 6 });
  assert.deepEqual(calcMul.handle(job({ a: 2, b: 3 })), { product: 6 });
});

Deno.test("calc.add refuses any other payload for good, and says why", () => {
  const refusals: [unknown, RegExp][] = [
    [null, /payload does not fit/],
    [{}, /numbers a and b, or a list/],
    [{ a: 1 }, /numbers a and b, or a list/],
    [{ a: 1, b: 2, numbers: [3] }, /numbers a and b, or a list/],
    [{ numbers: [] }, /numbers: /],
    [{ numbers: [1, "2"] }, /numbers\[1\]: /],
  ];
  for (const [payload, message] of refusals) {
    assert.throws(() => calcAdd.handle(job(payload)), (error) => {
      assert.ok(error instanceof FinalError);
      assert.equal(error.code, "bad_payload");
      assert.match(error.message, message);
      return true;
    });
  }
});

Deno.test("calc.mul does not pass infinity off as a result", () => {
  assert.throws(() => calcMul.handle(job({ a: 1e200, b: 1e200 })), FinalError);
});
