import { resolve } from "node:path";
import type { HolderCommand, HolderReport, HolderSettings } from "./fleet-protocol.ts";
import { LineProcess } from "./line-process.ts";

/** A process of its own that holds many workers. */
export class Holder {
  readonly #process: LineProcess;

  constructor(settings: HolderSettings) {
    this.#process = new LineProcess(Deno.execPath(), [
      ...["run", "--allow-all", "--no-check", "--quiet"],
      ...[resolve(import.meta.dirname!, "fleet-holder.ts"), JSON.stringify(settings)],
    ]);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** One command at a time; resolves with what happened since the last. */
  tell(command: HolderCommand): Promise<HolderReport> {
    return this.#process.tell(command);
  }

  /** Gone at once, with all its workers: nobody says goodbye. */
  kill(): Promise<void> {
    return this.#process.kill();
  }
}
