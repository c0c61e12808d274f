import { sleep } from "../../../shared/sleep.ts";

/** What a stretch of network does. */
export type Weather =
  | { readonly kind: "fair" }
  /** Connections end, and each new one as soon as it comes. */
  | { readonly kind: "cut" }
  /** Connections stay open and nothing moves. */
  | { readonly kind: "stall" }
  /** What the caller sends arrives, what it is answered does not. */
  | { readonly kind: "half-open" }
  | { readonly kind: "slow"; readonly delayMs: number; readonly bytesPerSecond: number }
  /** Some pieces arrive as noise and a byte short, and the connection ends: what TLS does with a damaged record. */
  | { readonly kind: "garble"; readonly chance: number };

export interface ProxyOptions {
  readonly target: URL;
  /** At least 0, below 1. */
  readonly random: () => number;
}

interface Pair {
  readonly ends: readonly Deno.TcpConn[];
}

/**
 * A stretch of network between one caller and the project: a TCP port of the caller's own, whose weather a test makes.
 * Bytes that a bad time holds back are delivered when it is over, as TCP does, unless the connection ended meanwhile.
 */
export class Proxy implements AsyncDisposable {
  readonly url: string;
  readonly #listener: Deno.TcpListener;
  readonly #options: ProxyOptions;
  readonly #pairs = new Set<Pair>();
  #weather: Weather = { kind: "fair" };
  #isOut = false;
  #changed = Promise.withResolvers<void>();

  constructor(options: ProxyOptions) {
    this.#options = options;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.url = `http://127.0.0.1:${this.#listener.addr.port}`;
    void this.#accept();
  }

  /** What it does now. */
  get weather(): Weather {
    return this.#isOut ? { kind: "cut" } : this.#weather;
  }

  /** How many connections are open. */
  get connectionCount(): number {
    return this.#pairs.size;
  }

  setWeather(weather: Weather): void {
    this.#weather = weather;
    this.#change();
  }

  /** Cuts it whatever the weather is, which goes on behind: an outage of everybody's, not of this caller's alone. */
  setOutage(isOut: boolean): void {
    this.#isOut = isOut;
    this.#change();
  }

  /** Ends every open connection; new ones go by the weather. */
  endConnections(): void {
    for (const pair of this.#pairs) end(pair);
    this.#pairs.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.setWeather({ kind: "cut" });
    this.#listener.close();
    return Promise.resolve();
  }

  #change(): void {
    if (this.weather.kind === "cut") this.endConnections();
    const changed = this.#changed;
    this.#changed = Promise.withResolvers();
    changed.resolve();
  }

  async #accept(): Promise<void> {
    try {
      for await (const from of this.#listener) {
        if (this.weather.kind === "cut") close(from);
        else void this.#connect(from);
      }
    } catch {
      // The listener was closed.
    }
  }

  async #connect(from: Deno.TcpConn): Promise<void> {
    const { hostname, port } = this.#options.target;
    let to: Deno.TcpConn;
    try {
      to = await Deno.connect({ hostname, port: Number(port || 80) });
    } catch {
      // The project itself cannot be reached: the caller finds its connection closed.
      close(from);
      return;
    }
    const pair: Pair = { ends: [from, to] };
    if (this.weather.kind === "cut") return end(pair);
    this.#pairs.add(pair);
    from.setNoDelay(true);
    to.setNoDelay(true);
    await Promise.all([this.#pump(pair, from, to, "up"), this.#pump(pair, to, from, "down")]);
    this.#pairs.delete(pair);
    end(pair);
  }

  /** Carries one direction until its sender ends it, or the connection breaks. */
  async #pump(pair: Pair, from: Deno.TcpConn, to: Deno.TcpConn, direction: "up" | "down"): Promise<void> {
    const buffer = new Uint8Array(16 * 1024);
    try {
      for (let count = await from.read(buffer); count !== null; count = await from.read(buffer)) {
        let piece: Uint8Array = buffer.subarray(0, count);
        await this.#passable(pair, direction);
        const weather = this.weather;
        if (weather.kind === "slow") await sleep(weather.delayMs + (count / weather.bytesPerSecond) * 1000);
        const isGarbled = weather.kind === "garble" && this.#options.random() < weather.chance;
        if (isGarbled) piece = noise(count - 1, this.#options.random);
        await writeAll(to, piece);
        if (isGarbled) return end(pair);
      }
      await to.closeWrite();
    } catch {
      // One side is gone: the other must see it too.
      end(pair);
    }
  }

  /** Resolves when the weather lets this direction through; rejects when the connection has ended meanwhile. */
  async #passable(pair: Pair, direction: "up" | "down"): Promise<void> {
    while (this.weather.kind === "stall" || (this.weather.kind === "half-open" && direction === "down")) {
      await this.#changed.promise;
    }
    if (!this.#pairs.has(pair)) throw new Error("The connection has ended");
  }
}

async function writeAll(to: Deno.TcpConn, piece: Uint8Array): Promise<void> {
  for (let rest = piece; rest.length > 0;) rest = rest.subarray(await to.write(rest));
}

function noise(count: number, random: () => number): Uint8Array {
  return Uint8Array.from({ length: count }, () => Math.floor(random() * 256));
}

function end({ ends }: Pair): void {
  for (const connection of ends) close(connection);
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
