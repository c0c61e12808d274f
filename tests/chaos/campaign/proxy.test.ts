import assert from "node:assert/strict";
import { Random } from "../../support/random.ts";
import { Proxy } from "./proxy.ts";

/** A server that repeats what it is sent, and a proxy in front of it. */
async function withEcho(act: (proxy: Proxy, received: () => number) => Promise<void>): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  let received = 0;
  const serving = (async () => {
    for await (const connection of listener) void echo(connection);
  })();
  async function echo(connection: Deno.TcpConn): Promise<void> {
    const buffer = new Uint8Array(1024);
    try {
      for (let count = await connection.read(buffer); count !== null; count = await connection.read(buffer)) {
        received += count;
        await connection.write(buffer.subarray(0, count));
      }
    } catch { /* the proxy ended it */ }
    try {
      connection.close();
    } catch { /* closed already */ }
  }
  const random = new Random(1);
  const target = new URL(`http://127.0.0.1:${listener.addr.port}`);
  await using proxy = new Proxy({ target, random: () => random.next() });
  await act(proxy, () => received);
  listener.close();
  await serving.catch(() => {});
}

class Caller implements Disposable {
  readonly #connection: Deno.TcpConn;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  static async to(proxy: Proxy): Promise<Caller> {
    return new Caller(await Deno.connect({ hostname: "127.0.0.1", port: Number(new URL(proxy.url).port) }));
  }

  async say(text: string): Promise<void> {
    await this.#connection.write(new TextEncoder().encode(text));
  }

  /** What comes next, null when the connection has ended. */
  async hear(): Promise<string | null> {
    const buffer = new Uint8Array(1024);
    const count = await this.#connection.read(buffer).catch(() => null);
    return count === null ? null : new TextDecoder().decode(buffer.subarray(0, count));
  }

  [Symbol.dispose](): void {
    try {
      this.#connection.close();
    } catch { /* closed already */ }
  }
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const endsAt = performance.now() + 10_000;
  while (!condition()) {
    assert.ok(performance.now() < endsAt, `Never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

Deno.test("a proxy in fair weather carries both ways", () =>
  withEcho(async (proxy) => {
    using caller = await Caller.to(proxy);
    await caller.say("hello");
    assert.equal(await caller.hear(), "hello");
  }));

Deno.test("a cut ends open connections and refuses new ones until it is mended", () =>
  withEcho(async (proxy) => {
    using before = await Caller.to(proxy);
    await before.say("a");
    assert.equal(await before.hear(), "a");
    proxy.setWeather({ kind: "cut" });
    assert.equal(await before.hear(), null);
    using during = await Caller.to(proxy);
    assert.equal(await during.hear(), null);
    proxy.setWeather({ kind: "fair" });
    using after = await Caller.to(proxy);
    await after.say("b");
    assert.equal(await after.hear(), "b");
  }));

Deno.test("an outage lasts whatever becomes of the weather meanwhile", () =>
  withEcho(async (proxy) => {
    proxy.setWeather({ kind: "stall" });
    proxy.setOutage(true);
    proxy.setWeather({ kind: "fair" });
    using during = await Caller.to(proxy);
    assert.equal(await during.hear(), null);
    proxy.setOutage(false);
    using after = await Caller.to(proxy);
    await after.say("a");
    assert.equal(await after.hear(), "a");
  }));

Deno.test("what is sent into a stall arrives when it is over", () =>
  withEcho(async (proxy, received) => {
    using caller = await Caller.to(proxy);
    await caller.say("a");
    await caller.hear();
    proxy.setWeather({ kind: "stall" });
    await caller.say("late");
    const heard = caller.hear();
    assert.equal(received(), 1);
    proxy.setWeather({ kind: "fair" });
    assert.equal(await heard, "late");
  }));

Deno.test("half open lets the caller's bytes through, and holds the answer back", () =>
  withEcho(async (proxy, received) => {
    proxy.setWeather({ kind: "half-open" });
    using caller = await Caller.to(proxy);
    await caller.say("asked");
    await until("the server got it", () => received() === 5);
    let isMended = false;
    const heard = caller.hear().then((text) => {
      assert.ok(isMended, "an answer came through");
      return text;
    });
    for (let count = 2; count <= 5; count += 1) {
      await caller.say("again");
      await until("the server got the next one too", () => received() === count * 5);
    }
    isMended = true;
    proxy.setWeather({ kind: "fair" });
    assert.match(await heard ?? "", /^asked/);
  }));

Deno.test("a slow network takes its time", () =>
  withEcho(async (proxy) => {
    proxy.setWeather({ kind: "slow", delayMs: 40, bytesPerSecond: 1_000 });
    using caller = await Caller.to(proxy);
    const begun = performance.now();
    await caller.say("0123456789");
    assert.equal(await caller.hear(), "0123456789");
    // 40 ms and 10 bytes at 1 byte a millisecond, each way.
    assert.ok(performance.now() - begun >= 95);
  }));

Deno.test("garbled bytes are noise, a byte short, and the end of the connection", () =>
  withEcho(async (proxy, received) => {
    using caller = await Caller.to(proxy);
    await caller.say("a");
    await caller.hear();
    proxy.setWeather({ kind: "garble", chance: 1 });
    await caller.say("x".repeat(100));
    assert.notEqual(await caller.hear(), "x".repeat(100));
    await until("the server got the noise", () => received() === 1 + 99);
  }));
