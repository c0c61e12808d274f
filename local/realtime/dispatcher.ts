import type { Channel } from "./channel.ts";
import { Fates, type RealtimeFaults } from "./faults.ts";
import { isRecord, type Meta, type Serializer, type ServerFrame, type UserBroadcast, type WireData } from "./frames.ts";
import type { PresenceDiff } from "./presence-registry.ts";
import type { RateCounter } from "./rate-counter.ts";

/** What is broadcast: a value that was decoded on the way in, or a body that goes through untouched. */
export type Message =
  | { kind: "map"; map: unknown; meta?: Meta }
  | { kind: "body"; broadcast: UserBroadcast; meta?: Meta };

export interface DispatcherOptions {
  faults: RealtimeFaults;
  messageRate: RateCounter;
  presenceRate: RateCounter;
  maxMessagesPerSecond: number;
}

type Accepts = (channel: Channel) => boolean;
type Hand = (channel: Channel, data: WireData | undefined) => void;

/** The key of a channel's members: the public and the private channel of one name are two. */
export function channelKey(subTopic: string, isPrivate: boolean): string {
  return `${isPrivate ? "private" : "public"}:${subTopic}`;
}

/** Knows who is in which channel and hands messages to them. */
export class Dispatcher {
  readonly #members = new Map<string, Set<Channel>>();
  readonly #options: DispatcherOptions;
  readonly #fates: Fates;
  readonly #held = new Set<ReturnType<typeof setTimeout>>();

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#fates = new Fates(options.faults);
  }

  subscribe(channel: Channel): void {
    const members = this.#members.get(channel.key);
    if (members) members.add(channel);
    else this.#members.set(channel.key, new Set([channel]));
  }

  unsubscribe(channel: Channel): void {
    const members = this.#members.get(channel.key);
    members?.delete(channel);
    if (members?.size === 0) this.#members.delete(channel.key);
  }

  /** Throws where a receiver's wire format cannot carry the message; those before it have it. */
  broadcast(key: string, message: Message, except?: Channel): void {
    const id = message.meta?.id;
    this.#fanOut(
      key,
      (topic) => toFrame(topic, message),
      (channel) => channel !== except && channel.canRead("broadcast") && !(id !== undefined && channel.hasReplayed(id)),
      (channel, data) => {
        for (const delayMs of this.#fates.next()) this.#sendAfter(delayMs, channel, data);
        this.#countDelivery(channel);
      },
    );
  }

  presenceDiff(key: string, diff: PresenceDiff): void {
    this.#fanOut(
      key,
      (topic) => ({ kind: "message", joinRef: null, ref: null, topic, event: "presence_diff", payload: diff }),
      (channel) => channel.canRead("presence"),
      (channel, data) => {
        this.#options.presenceRate.add();
        channel.socket.sendEncoded(data);
      },
    );
  }

  /** Forgets what is held back. */
  stop(): void {
    for (const timer of this.#held) clearTimeout(timer);
    this.#held.clear();
  }

  /** Encodes once per wire format and topic, however many members there are. */
  #fanOut(key: string, frameFor: (topic: string) => ServerFrame, accepts: Accepts, hand: Hand): void {
    const encoded = new Map<Serializer, WireData | undefined>();
    for (const channel of [...this.#members.get(key) ?? []]) {
      if (!accepts(channel)) continue;
      const { serializer } = channel.socket;
      if (!encoded.has(serializer)) encoded.set(serializer, serializer.encode(frameFor(channel.topic)));
      hand(channel, encoded.get(serializer));
    }
  }

  #sendAfter(delayMs: number, channel: Channel, data: WireData | undefined): void {
    if (delayMs === 0) return channel.socket.sendEncoded(data);
    const timer = setTimeout(() => {
      this.#held.delete(timer);
      if (!channel.closed) channel.socket.sendEncoded(data);
    }, delayMs);
    this.#held.add(timer);
  }

  /** The message that exceeds the rate arrives; its receiver's channel ends after it, and after the sender's reply. */
  #countDelivery(channel: Channel): void {
    const { faults, messageRate, maxMessagesPerSecond } = this.#options;
    messageRate.add();
    if (!faults.rateExceeded && messageRate.perSecond() < maxMessagesPerSecond) return;
    queueMicrotask(() => channel.shutdown("Too many messages per second"));
  }
}

function toFrame(topic: string, message: Message): ServerFrame {
  if (message.kind === "body") {
    const { broadcast, meta } = message;
    return { kind: "broadcast", topic, broadcast, ...(meta && { meta }) };
  }
  if (!isRecord(message.map)) throw new TypeError("A broadcast's payload is an object");
  return { kind: "message", joinRef: null, ref: null, topic, event: "broadcast", payload: message.map };
}
