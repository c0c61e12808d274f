/** Lines on their way out: what is said in one go, as when a hundred jobs start, is written at once. */
export class Lines {
  readonly #write: (text: string) => void;
  #waiting = "";

  constructor(write: (text: string) => void) {
    this.#write = write;
  }

  add(line: string): void {
    // Still before anything else that the process waits for: no timer, no answer comes first.
    if (this.#waiting === "") queueMicrotask(() => this.flush());
    this.#waiting += `${line}\n`;
  }

  /** Writes what waits now: for the end of the process, which waits for nothing. */
  flush(): void {
    const text = this.#waiting;
    this.#waiting = "";
    if (text !== "") this.#write(text);
  }
}
