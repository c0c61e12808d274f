import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";

/**
 * A file that is only ever added to, a JSON object a line. A line is on the disk before `write()` returns, so that
 * whatever happens to the process next, what it said it did can be read.
 */
export class Journal implements Disposable {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, "a");
  }

  write(entry: object): void {
    writeSync(this.#file, `${JSON.stringify({ ...entry, wallMs: Date.now(), monotonicMs: performance.now() })}\n`);
    fsyncSync(this.#file);
  }

  [Symbol.dispose](): void {
    closeSync(this.#file);
  }
}
