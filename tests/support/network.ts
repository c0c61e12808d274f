import { project } from "./project.ts";

/** A stretch of network between a worker and a project, which a test can cut and listen to. Forwards plain TCP. */
export class Network implements AsyncDisposable {
  readonly url: string;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #target: URL;
  readonly #received: ((bytes: Uint8Array) => void) | undefined;
  #isUp = true;

  /** `received` is told what comes from the project, on all connections. */
  constructor(target = project.url, received?: (bytes: Uint8Array) => void) {
    this.#target = new URL(target);
    this.#received = received;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.url = `http://127.0.0.1:${this.#listener.addr.port}`;
    void this.#accept();
  }

  /** Whether the project can be reached this way: TLS cannot be forwarded under another name. */
  static get isPossible(): boolean {
    return (Deno.env.get("SUPABASE_URL") ?? "").startsWith("http:");
  }

  /** Ends every connection, and each new one as soon as it comes. */
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
      const to = await Deno.connect({ hostname: this.#target.hostname, port: Number(this.#target.port || 80) });
      this.#connections.add(to);
      const received = this.#received;
      const heard = new TransformStream<Uint8Array, Uint8Array>({
        transform(bytes, controller) {
          received?.(bytes);
          controller.enqueue(bytes);
        },
      });
      await Promise.allSettled([
        from.readable.pipeTo(to.writable),
        to.readable.pipeThrough(heard).pipeTo(from.writable),
      ]);
      this.#connections.delete(to);
      close(to);
    } catch {
      // The project itself cannot be reached: the caller finds its connection closed.
    }
    this.#connections.delete(from);
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
