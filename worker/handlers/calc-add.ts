import { defineHandler } from "../handler.ts";
import { finite, operands } from "./operands.ts";

/** `calc.add`: the sum of `a` and `b`, or of `numbers`. */
export const calcAdd = defineHandler({
  type: "calc.add",
  payload: operands,
  handle: ({ payload }): { sum: number } => ({
    sum: finite(payload.reduce((sum, value) => sum + value, 0)),
  }),
});
