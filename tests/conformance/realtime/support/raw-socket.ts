import assert from "node:assert/strict";
import { stack } from "./stack.ts";

export interface Frame {
  joinRef?: string | null;
  ref: string | null;
  topic: string;
  event: string;
  // deno-lint-ignore no-explicit-any -- tests assert on what they expect in it
  payload: any;
  /** The frame as it came. */
  raw: string | Uint8Array;
}

export interface JoinOptions {
  private?: boolean;
  broadcast?: Record<string, unknown>;
  presence?: Record<string, unknown>;
  token?: string;
}

export interface OpenOptions {
  vsn?: string;
  key?: string;
  url?: string;
  headers?: Record<string, string>;
}

const waitMs = 12_000;

/** A websocket that speaks one version of the protocol by hand. */
export class RawSocket implements Disposable {
  readonly #webSocket: WebSocket;
  readonly #vsn: string | undefined;
  readonly #frames: Frame[] = [];
  readonly #closed = Promise.withResolvers<number>();
  #arrived = Promise.withResolvers<void>();
  #lastRef = 0;

  private constructor(webSocket: WebSocket, vsn: string | undefined) {
    this.#webSocket = webSocket;
    this.#vsn = vsn;
    webSocket.binaryType = "arraybuffer";
    webSocket.onmessage = ({ data }) => {
      this.#frames.push(this.#decode(typeof data === "string" ? data : new Uint8Array(data)));
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
    };
    webSocket.onclose = ({ code }) => this.#closed.resolve(code);
  }

  /** Where a socket is opened, the stack's own server unless named otherwise. */
  static address(options: OpenOptions = {}): URL {
    const url = new URL("realtime/v1/websocket", (options.url ?? stack.url).replace(/\/?$/, "/"));
    url.protocol = url.protocol.replace("http", "ws");
    url.searchParams.set("apikey", options.key ?? stack.publishableKey);
    if (options.vsn) url.searchParams.set("vsn", options.vsn);
    return url;
  }

  static async open(options: OpenOptions = {}): Promise<RawSocket> {
    const webSocket = new WebSocket(RawSocket.address(options), { headers: options.headers ?? {} });
    const socket = new RawSocket(webSocket, options.vsn);
    await new Promise<void>((resolve, reject) => {
      webSocket.onopen = () => resolve();
      webSocket.onerror = () => reject(new Error("Cannot open websocket"));
    });
    return socket;
  }

  sendRaw(data: string | Uint8Array<ArrayBuffer>): void {
    this.#webSocket.send(data);
  }

  /** Sends in the socket's version; answers the reference used. */
  send(topic: string, event: string, payload: unknown, joinRef: string | null = null, ref = this.nextRef()): string {
    this.sendRaw(JSON.stringify(
      this.#vsn === "2.0.0"
        ? [joinRef, ref, topic, event, payload]
        : { topic, event, payload, ref, ...(joinRef && { join_ref: joinRef }) },
    ));
    return ref;
  }

  nextRef(): string {
    return String(++this.#lastRef);
  }

  async request(topic: string, event: string, payload: unknown, joinRef?: string): Promise<Frame> {
    const ref = this.send(topic, event, payload, joinRef);
    return await this.next((frame) => frame.event === "phx_reply" && frame.ref === ref);
  }

  /** Joins without judging the answer. */
  async tryJoin(subTopic: string, options: JoinOptions = {}): Promise<{ joinRef: string; reply: Frame }> {
    const joinRef = this.nextRef();
    const { token, ...config } = options;
    const payload = { config, ...(token !== undefined && { access_token: token }) };
    this.send(`realtime:${subTopic}`, "phx_join", payload, joinRef, joinRef);
    const reply = await this.next((frame) => frame.event === "phx_reply" && frame.ref === joinRef);
    return { joinRef, reply };
  }

  async join(subTopic: string, options: JoinOptions = {}): Promise<string> {
    const { joinRef, reply } = await this.tryJoin(subTopic, options);
    assert.deepEqual(reply.payload, { status: "ok", response: { postgres_changes: [] } });
    return joinRef;
  }

  /** The first frame that matches, taken out; the others stay for later. */
  async next(matches: (frame: Frame) => boolean = () => true): Promise<Frame> {
    const timeout = Promise.withResolvers<never>();
    const seen = () => this.#frames.map(({ event, payload }) => `${event} ${JSON.stringify(payload)}`).join("; ");
    const timer = setTimeout(() => timeout.reject(new Error(`No such frame, but: ${seen() || "none"}`)), waitMs);
    try {
      while (true) {
        const index = this.#frames.findIndex(matches);
        if (index >= 0) return this.#frames.splice(index, 1)[0]!;
        await Promise.race([this.#arrived.promise, timeout.promise]);
      }
    } finally {
      clearTimeout(timer);
    }
  }

  nextEvent(event: string): Promise<Frame> {
    return this.next((frame) => frame.event === event);
  }

  /** The next frame whatever it is, which has to be a shutdown of the channel with this text, and its close. */
  async nextShutdown(subTopic: string, message: string | RegExp): Promise<void> {
    const { event, payload } = await this.next();
    assert.equal(event, "system");
    if (typeof message === "string") assert.equal(payload.message, message);
    else assert.match(payload.message, message);
    const { message: _, ...rest } = payload;
    assert.deepEqual(rest, { extension: "system", status: "error", channel: subTopic });
    const close = await this.next();
    assert.deepEqual([close.event, close.topic, close.payload], ["phx_close", `realtime:${subTopic}`, {}]);
  }

  /** Sends a broadcast on a channel joined with `ack` and waits until it is handed on. */
  async broadcast(subTopic: string, joinRef: string, event = "e", payload: unknown = {}): Promise<void> {
    const reply = await this.request(
      `realtime:${subTopic}`,
      "broadcast",
      { type: "broadcast", event, payload },
      joinRef,
    );
    assert.deepEqual(reply.payload, { status: "ok", response: {} });
  }

  /** What has come and was not taken, once everything sent before has been answered. */
  async rest(): Promise<Frame[]> {
    await this.request("phoenix", "heartbeat", {});
    return this.#frames.splice(0);
  }

  /** How many frames have come and were not taken. */
  get pending(): number {
    return this.#frames.length;
  }

  get closed(): Promise<number> {
    return this.#closed.promise;
  }

  [Symbol.dispose](): void {
    this.#webSocket.close();
  }

  #decode(raw: string | Uint8Array): Frame {
    if (typeof raw !== "string") return decodeBroadcast(raw);
    const value = JSON.parse(raw);
    if (!Array.isArray(value)) return { ...value, raw };
    const [joinRef, ref, topic, event, payload] = value;
    return { joinRef, ref, topic, event, payload, raw };
  }
}

/** Reads a user broadcast, as the official client does, into the shape of a text broadcast. */
function decodeBroadcast(raw: Uint8Array): Frame {
  assert.equal(raw[0], 4, "kind of a binary frame");
  const fields: string[] = [];
  let offset = 5;
  for (const length of raw.subarray(1, 4)) {
    fields.push(new TextDecoder().decode(raw.subarray(offset, offset + length)));
    offset += length;
  }
  const [topic, event, meta] = fields as [string, string, string];
  const body = raw.subarray(offset);
  const payload = raw[4] === 0 ? body : JSON.parse(new TextDecoder().decode(body));
  const metaField = meta && { meta: JSON.parse(meta) };
  return {
    joinRef: null,
    ref: null,
    topic,
    event: "broadcast",
    payload: { type: "broadcast", event, payload, ...metaField },
    raw,
  };
}

/** A kind 3 push, as the official client sends it. */
export function broadcastPush(
  { joinRef = "", ref = "", topic, event, body, encoding = 1 }: {
    joinRef?: string;
    ref?: string;
    topic: string;
    event: string;
    body: Uint8Array;
    encoding?: 0 | 1;
  },
): Uint8Array<ArrayBuffer> {
  const fields = [joinRef, ref, topic, event, ""].map((field) => new TextEncoder().encode(field));
  return new Uint8Array([
    3,
    ...fields.map((field) => field.length),
    encoding,
    ...fields.flatMap((f) => [...f]),
    ...body,
  ]);
}
