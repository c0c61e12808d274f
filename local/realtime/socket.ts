import { setTimeout as delay } from "node:timers/promises";
import type { Channel } from "./channel.ts";
import type { RealtimeContext } from "./context.ts";
import type { ClientFrame, Ref, Serializer, ServerFrame, WireData } from "./frames.ts";
import { joinChannel, toJoinError, topicPrefix } from "./join.ts";

type MessageFrame = ClientFrame & { kind: "message" };

export interface SocketOptions {
  webSocket: WebSocket;
  serializer: Serializer;
  /** The connection's token, for joins that bring none. */
  token: string;
  /** Shown to policies as `request.headers`. */
  headers: Record<string, string>;
}

/** One websocket: its frames are handled strictly one after the other. */
export class Socket {
  readonly serializer: Serializer;
  readonly token: string;
  readonly headers: Record<string, string>;
  readonly channels = new Map<string, Channel>();
  closed = false;
  /** A socket that never joined is left alone by the sweep. */
  hasJoined = false;
  readonly #context: RealtimeContext;
  readonly #webSocket: WebSocket;
  #queue: Promise<void> = Promise.resolve();
  #lastReceived: number;
  #idleTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(context: RealtimeContext, { webSocket, serializer, token, headers }: SocketOptions) {
    this.#context = context;
    this.#webSocket = webSocket;
    this.serializer = serializer;
    this.token = token;
    this.headers = headers;
    this.#lastReceived = context.now();
    webSocket.binaryType = "arraybuffer";
    webSocket.onmessage = ({ data }) => this.#receive(typeof data === "string" ? data : new Uint8Array(data));
    webSocket.onclose = () => this.#ended();
    webSocket.onerror = () => this.#ended();
    context.sockets.add(this);
    this.#watchIdle();
  }

  send(frame: ServerFrame): void {
    this.sendEncoded(this.serializer.encode(frame));
  }

  sendEncoded(data: WireData | undefined): void {
    if (data !== undefined && this.#webSocket.readyState === WebSocket.OPEN) this.#webSocket.send(data);
  }

  reply(to: { joinRef: Ref; ref: Ref; topic: string }, status: "ok" | "error", response: unknown): void {
    const { joinRef, ref, topic } = to;
    this.send({ kind: "message", joinRef, ref, topic, event: "phx_reply", payload: { status, response } });
  }

  /** A newer channel of the same topic stays. */
  forget(channel: Channel): void {
    if (this.channels.get(channel.topic) === channel) this.channels.delete(channel.topic);
  }

  /** Told by the operator's hand to go: every channel hears it before the socket closes. */
  disconnect(code: number): void {
    const payload = { extension: "system", status: "ok", message: "Server requested disconnect" };
    for (const { topic } of this.channels.values()) {
      this.send({ kind: "message", joinRef: null, ref: null, topic, event: "system", payload });
    }
    this.close(code);
  }

  close(code: number): void {
    if (this.#webSocket.readyState === WebSocket.OPEN) this.#webSocket.close(code);
    this.#ended();
  }

  #ended(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.#idleTimer);
    this.#context.sockets.delete(this);
    for (const channel of [...this.channels.values()]) channel.close();
  }

  #receive(data: WireData): void {
    this.#lastReceived = this.#context.now();
    if (data.length > this.#context.limits.maxFrameBytes) return this.close(1009);
    const frame = this.serializer.decode(data);
    if (!frame) return this.#context.log({ event: "realtime.malformed_frame" });
    this.#queue = this.#queue.then(() => this.#handle(frame)).catch((error) => {
      this.#context.log({ event: "realtime.frame_failed", reason: String(error) });
    });
  }

  async #handle(frame: ClientFrame): Promise<void> {
    if (this.closed) return;
    if (frame.kind === "message") {
      const { ref, topic, event } = frame;
      if (topic === "phoenix" && event === "heartbeat") return this.reply({ joinRef: null, ref, topic }, "ok", {});
      if (event === "phx_join" && topic.startsWith(topicPrefix)) return await this.#join(frame);
      if (event === "phx_leave") return this.#leave(frame);
    }
    const channel = this.channels.get(frame.topic);
    if (channel) return await channel.handle(frame).catch((error) => channel.crash(error));
    this.reply({ joinRef: null, ref: frame.ref, topic: frame.topic }, "error", { reason: "unmatched topic" });
  }

  async #join(frame: MessageFrame): Promise<void> {
    const { topic, joinRef, ref } = frame;
    // Joining again replaces the channel, whether or not the new join succeeds.
    const replaced = this.channels.get(topic);
    replaced?.close();
    let open = (): void => {};
    try {
      open = await joinChannel(this.#context, this, frame);
      this.hasJoined = true;
      this.#context.joined();
    } catch (cause) {
      const { log, limits } = this.#context;
      const error = toJoinError(cause, topic);
      log({ event: "realtime.join_refused", topic, reason: error.message, cause: String(cause) });
      await delay(limits.joinErrorDelayMs);
      this.reply({ joinRef, ref, topic }, "error", { reason: error.message });
      if (error.closesSocket) this.close(1001);
    }
    replaced?.sendClose();
    try {
      open();
    } catch (error) {
      this.channels.get(topic)?.crash(error);
    }
  }

  #leave({ topic, joinRef, ref }: MessageFrame): void {
    const channel = this.channels.get(topic);
    if (!channel) return this.reply({ joinRef: null, ref, topic }, "ok", {});
    if (channel.joinRef !== null && channel.joinRef !== joinRef) return;
    channel.reply(ref, "ok");
    channel.close();
    channel.sendClose();
  }

  #watchIdle(): void {
    const { limits, now } = this.#context;
    const remaining = this.#lastReceived + limits.idleTimeoutMs - now();
    if (remaining <= 0) return this.close(1000);
    this.#idleTimer = setTimeout(() => this.#watchIdle(), remaining);
  }
}
