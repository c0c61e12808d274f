import type { Extension, Permissions } from "./authorization.ts";
import { handleBroadcast } from "./broadcast-handler.ts";
import type { RealtimeContext } from "./context.ts";
import { channelKey } from "./dispatcher.ts";
import type { ClientFrame, Ref, ServerFrame } from "./frames.ts";
import type { JoinConfig } from "./join-config.ts";
import { handlePresence } from "./presence-handler.ts";
import type { Socket } from "./socket.ts";
import { refreshToken } from "./token-refresh.ts";
import { type Claims, TokenError } from "./tokens.ts";

export interface ChannelOptions {
  socket: Socket;
  joinRef: Ref;
  topic: string;
  subTopic: string;
  config: JoinConfig;
  token: string;
  claims: Claims;
  /** Reading as the policies answered; everything on a public channel. */
  readable: Permissions;
}

/** One client's membership in one channel, from its accepted join to its end. */
export class Channel {
  readonly socket: Socket;
  readonly joinRef: Ref;
  readonly topic: string;
  readonly subTopic: string;
  readonly config: JoinConfig;
  readonly key: string;
  readonly presenceKey: string;
  token: string;
  claims: Claims;
  readable: Permissions;
  /** Unknown until the first broadcast or track asks. */
  writable: Permissions | undefined;
  presenceEnabled: boolean;
  presenceCalls: { count: number; until: number } | undefined;
  closed = false;
  readonly #context: RealtimeContext;
  readonly #replayed = new Set<string>();
  #tokenTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(context: RealtimeContext, options: ChannelOptions) {
    this.#context = context;
    this.socket = options.socket;
    this.joinRef = options.joinRef;
    this.topic = options.topic;
    this.subTopic = options.subTopic;
    this.config = options.config;
    this.key = channelKey(options.subTopic, options.config.isPrivate);
    this.presenceKey = options.config.presenceKey;
    this.presenceEnabled = options.config.presenceEnabled;
    this.token = options.token;
    this.claims = options.claims;
    this.readable = options.readable;
    if (!this.isPrivate) this.writable = { broadcast: true, presence: true };
    this.watchToken();
  }

  get isPrivate(): boolean {
    return this.config.isPrivate;
  }

  get subject(): { topic: string; claims: Claims; headers: Record<string, string> } {
    return { topic: this.subTopic, claims: this.claims, headers: this.socket.headers };
  }

  canRead(extension: Extension): boolean {
    return this.readable[extension] === true;
  }

  /** Replayed messages are not delivered a second time. */
  markReplayed(id: string): void {
    this.#replayed.add(id);
  }

  hasReplayed(id: string): boolean {
    return this.#replayed.has(id);
  }

  async handle(frame: ClientFrame): Promise<void> {
    if (frame.kind === "broadcast") {
      return await handleBroadcast(this.#context, this, frame.ref, { kind: "body", broadcast: frame.broadcast });
    }
    switch (frame.event) {
      case "broadcast":
        return await handleBroadcast(this.#context, this, frame.ref, { kind: "map", map: frame.payload });
      case "presence":
        return await handlePresence(this.#context, this, frame.ref, frame.payload);
      case "access_token":
        return await refreshToken(this.#context, this, frame.payload);
      default:
        // Ignored, and counted all the same.
        this.#context.rates.messages.add();
    }
  }

  send(frame: ServerFrame): void {
    if (!this.closed) this.socket.send(frame);
  }

  push(event: string, payload: unknown): void {
    this.send({ kind: "message", joinRef: this.joinRef, ref: null, topic: this.topic, event, payload });
  }

  reply(ref: Ref, status: "ok" | "error", response: unknown = {}): void {
    this.socket.reply({ joinRef: this.joinRef, ref, topic: this.topic }, status, response);
  }

  system(status: "ok" | "error", message: string, extension = "system"): void {
    this.push("system", { extension, status, message, channel: this.subTopic });
  }

  /** Ends the channel from this side; clients do not join again by themselves. */
  shutdown(message: string): void {
    if (this.closed) return;
    this.#context.log({ event: "realtime.channel_shutdown", topic: this.subTopic, message });
    this.system("error", message);
    this.close();
    this.sendClose();
  }

  /** Ends the channel after a failure on this side; clients join again by themselves. */
  crash(error: unknown): void {
    if (this.closed) return;
    this.#context.log({ event: "realtime.channel_crashed", topic: this.subTopic, reason: String(error) });
    this.close();
    this.#sendEnd("phx_error", { reason: "channel_crash" });
  }

  /** Leaves the channel without a word. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    clearTimeout(this.#tokenTimer);
    this.socket.forget(this);
    const { dispatcher, presence } = this.#context;
    dispatcher.unsubscribe(this);
    const diff = presence.untrack(this);
    if (diff) dispatcher.presenceDiff(this.key, diff);
  }

  sendClose(): void {
    this.#sendEnd("phx_close", {});
  }

  /** Ends the channel when its token does. */
  watchToken(): void {
    clearTimeout(this.#tokenTimer);
    const { limits, now } = this.#context;
    const wait = Math.min(limits.tokenCheckMs, Math.max(this.claims.exp * 1000 - now(), 0));
    this.#tokenTimer = setTimeout(() => this.#checkToken(), wait);
  }

  async #checkToken(): Promise<void> {
    try {
      await this.#context.verifyToken(this.token);
      if (!this.closed) this.watchToken();
    } catch (error) {
      this.shutdown(error instanceof TokenError ? error.shutdownText : String(error));
    }
  }

  /** Carries the reference of this join, so that a client which has joined anew ignores it. */
  #sendEnd(event: "phx_close" | "phx_error", payload: object): void {
    const { joinRef, topic } = this;
    this.socket.send({ kind: "message", joinRef, ref: joinRef, topic, event, payload });
  }
}
