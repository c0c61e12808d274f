import { WorkerResources } from "../shared/contracts/placement.ts";
import { UsageError } from "../shared/usage-error.ts";

/** Reads resources as a command line gives them, each as NAME=AMOUNT. */
export function readResources(pairs: readonly string[]): WorkerResources {
  const amounts = Object.fromEntries(pairs.map((pair) => {
    const [, name, amount] = /^([^=]+)=([0-9.]+)$/.exec(pair) ?? [];
    if (name === undefined || amount === undefined) {
      throw new UsageError(
        `Cannot read resource "${pair}": it must be NAME=AMOUNT`,
        "Write it as --resource gpu=2",
      );
    }
    return [name, Number(amount)];
  }));
  const result = WorkerResources.safeParse(amounts);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const name = issue?.path[0] === undefined ? "the resources" : `resource "${String(issue.path[0])}"`;
  throw new UsageError(`Cannot read ${name}: ${issue?.message.toLowerCase()}`);
}
