import { resolve } from "node:path";
import type { HolderCommand, HolderReport, HolderSettings } from "./fleet-protocol.ts";

/** A process of its own that holds many workers. */
export class Holder {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  #rest = "";

  constructor(settings: HolderSettings) {
    this.#child = new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--allow-all", "--no-check", "--quiet"],
        ...[resolve(import.meta.dirname!, "fleet-holder.ts"), JSON.stringify(settings)],
      ],
      ...{ stdin: "piped", stdout: "piped", stderr: "inherit" },
    }).spawn();
    this.#input = this.#child.stdin.getWriter();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** One command at a time; resolves with what happened since the last. */
  async tell(command: HolderCommand): Promise<HolderReport> {
    await this.#input.write(new TextEncoder().encode(JSON.stringify(command) + "\n"));
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error("A process that holds workers has ended");
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(line);
  }

  /** Gone at once, with all its workers: nobody says goodbye. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#lines.cancel();
    await this.#input.abort().catch(() => {});
  }
}
