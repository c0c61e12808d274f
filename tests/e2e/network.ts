import { project } from "../support/project.ts";

/** A stretch of network between a worker and the project, which a test can cut. Forwards plain TCP. */
export class Network implements AsyncDisposable {
  readonly url: string;
  readonly #listener: Deno.TcpListener;
  readonly #connections = new Set<Deno.TcpConn>();
  readonly #target: URL;
  #isUp = true;

  constructor() {
    this.#target = new URL(project.url);
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
      await Promise.allSettled([from.readable.pipeTo(to.writable), to.readable.pipeTo(from.writable)]);
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
