import { z } from "zod";
import { defineHandler } from "../../worker/index.ts";

/** `demo.countdown`: takes `seconds`, in `steps` equal steps, and tells how far it is after each. */
export default defineHandler({
  type: "demo.countdown",
  payload: z.object({
    seconds: z.number().min(0).max(3600),
    steps: z.number().int().min(1).max(1000).default(10),
  }),
  async handle({ payload, progress, log, signal, attempt }): Promise<{ steps: number; attempt: number }> {
    const { seconds, steps } = payload;
    await log(`counting down ${seconds} s in ${steps} steps`);
    for (let step = 1; step <= steps; step += 1) {
      await pause((seconds * 1000) / steps, signal);
      await progress(step / steps, `step ${step} of ${steps}`);
    }
    return { steps, attempt };
  },
});

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    }, { once: true });
  });
}
