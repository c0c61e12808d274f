import { Labels } from "./contracts/common.ts";
import { UsageError } from "./usage-error.ts";

/** Reads labels as a command line gives them, each as KEY=VALUE. */
export function readLabels(pairs: readonly string[]): Record<string, string> {
  const labels = Object.fromEntries(pairs.map((pair) => {
    const at = pair.indexOf("=");
    if (at < 1) {
      throw new UsageError(`Cannot read label "${pair}": it must be KEY=VALUE`, "Write it as --label site=lab");
    }
    return [pair.slice(0, at), pair.slice(at + 1)];
  }));
  const result = Labels.safeParse(labels);
  if (result.success) return result.data;
  throw new UsageError(`Cannot read the labels: ${result.error.issues[0]?.message.toLowerCase()}`);
}
