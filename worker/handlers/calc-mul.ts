import { defineHandler } from "../handler.ts";
import { finite, operands } from "./operands.ts";

/** `calc.mul`: the product of `a` and `b`, or of `numbers`. */
export const calcMul = defineHandler({
  type: "calc.mul",
  payload: operands,
  handle: ({ payload }): { product: number } => ({
    product: finite(payload.reduce((product, value) => product * value, 1)),
  }),
});
