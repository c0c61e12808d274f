import { onInterrupt } from "./interrupt.ts";

/** A process that is told things and answers them, a line of JSON each. */
export class LineProcess {
  readonly #child: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>>;
  readonly #lines: ReadableStreamDefaultReader<string>;
  readonly #command: string;
  readonly #forget: () => void;
  #rest = "";

  constructor(command: string, args: readonly string[]) {
    this.#command = command;
    this.#child = new Deno.Command(command, {
      args: [...args],
      ...{ stdin: "piped", stdout: "piped", stderr: "inherit" },
    }).spawn();
    this.#forget = onInterrupt(() => {
      this.#child.kill("SIGKILL");
      return this.#child.status;
    });
    this.#input = this.#child.stdin.getWriter();
    this.#lines = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** One command at a time. */
  async tell<T>(command: unknown): Promise<T> {
    await this.#input.write(new TextEncoder().encode(JSON.stringify(command) + "\n"));
    return await this.next<T>();
  }

  /** The next line that it writes. */
  async next<T>(): Promise<T> {
    while (!this.#rest.includes("\n")) {
      const { value, done } = await this.#lines.read();
      if (done) throw new Error(`A process has ended: ${this.#command}`);
      this.#rest += value;
    }
    const end = this.#rest.indexOf("\n");
    const line = this.#rest.slice(0, end);
    this.#rest = this.#rest.slice(end + 1);
    return JSON.parse(line);
  }

  /** Tells it to end, and waits for that. */
  async end(command: unknown): Promise<void> {
    await this.#input.write(new TextEncoder().encode(JSON.stringify(command) + "\n")).catch(() => {});
    await this.#child.status;
    await this.#close();
  }

  /** Gone at once. */
  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#close();
  }

  async #close(): Promise<void> {
    this.#forget();
    await this.#lines.cancel();
    await this.#input.abort().catch(() => {});
  }
}
