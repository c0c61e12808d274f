/** A line to the stack that keeps what comes over it from there, and can be cut. Forwards plain TCP. */
export class RecordingLine implements AsyncDisposable {
  readonly url: string;
  readonly #target: URL;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #received: string[] = [];
  #isUp = true;

  constructor(target: string) {
    this.#target = new URL(target);
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.url = `http://127.0.0.1:${this.#listener.addr.port}`;
    void this.#accept();
  }

  /** All that was received so far, on all connections. */
  received(): string {
    return this.#received.join("");
  }

  cut(): void {
    this.#isUp = false;
    for (const connection of this.#connections) close(connection);
    this.#connections.clear();
  }

  mend(): void {
    this.#isUp = true;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    this.#listener.close();
    return Promise.resolve();
  }

  async #accept(): Promise<void> {
    for await (const from of this.#listener) {
      if (this.#isUp) void this.#forward(from);
      else close(from);
    }
  }

  async #forward(from: Deno.TcpConn): Promise<void> {
    this.#connections.add(from);
    try {
      const to = await Deno.connect({ hostname: this.#target.hostname, port: Number(this.#target.port) });
      this.#connections.add(to);
      const received = this.#received;
      const decoder = new TextDecoder("latin1");
      const recording = new TransformStream<Uint8Array, Uint8Array>({
        transform(bytes, controller) {
          received.push(decoder.decode(bytes));
          controller.enqueue(bytes);
        },
      });
      await Promise.allSettled([
        from.readable.pipeTo(to.writable),
        to.readable.pipeThrough(recording).pipeTo(from.writable),
      ]);
      close(to);
    } catch {
      // The stack cannot be reached: the caller finds its connection closed.
    }
    close(from);
  }
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // Closed by the other side already.
  }
}
