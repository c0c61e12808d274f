import type { Channel } from "./channel.ts";
import type { RealtimeFaults } from "./faults.ts";
import type { Meta, Serializer, ServerFrame, UserBroadcast, WireData } from "./frames.ts";
import type { PresenceDiff } from "./presence-registry.ts";
import type { RateCounter } from "./rate-counter.ts";

/** What is broadcast: a map that was decoded on the way in, or a body that goes through untouched. */
export type Message =
  | { kind: "map"; map: Record<string, unknown>; meta?: Meta }
  | { kind: "body"; broadcast: UserBroadcast; meta?: Meta };

export interface DispatcherOptions {
  faults: RealtimeFaults;
  messageRate: RateCounter;
  maxMessagesPerSecond: number;
}

/** The key of a channel's members: the public and the private channel of one name are two. */
export function channelKey(subTopic: string, isPrivate: boolean): string {
  return `${isPrivate ? "private" : "public"}:${subTopic}`;
}

/** Knows who is in which channel and hands messages to them. */
export class Dispatcher {
  readonly #members = new Map<string, Set<Channel>>();
  readonly #options: DispatcherOptions;

  constructor(options: DispatcherOptions) {
    this.#options = options;
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

  broadcast(key: string, message: Message, except?: Channel): void {
    const { dropChance, duplicateChance, delayMs } = this.#options.faults;
    if (Math.random() < dropChance) return;
    const deliver = (): void => this.#deliver(key, message, except);
    for (let copies = Math.random() < duplicateChance ? 2 : 1; copies > 0; copies--) {
      if (delayMs > 0) setTimeout(deliver, delayMs);
      else deliver();
    }
  }

  presenceDiff(key: string, diff: PresenceDiff): void {
    this.#fanOut(
      key,
      (topic) => ({ kind: "message", joinRef: null, ref: null, topic, event: "presence_diff", payload: diff }),
      (channel) => channel.canRead("presence"),
    );
  }

  #deliver(key: string, message: Message, except: Channel | undefined): void {
    const { messageRate, maxMessagesPerSecond } = this.#options;
    this.#fanOut(key, (topic) => toFrame(topic, message), (channel) => {
      if (channel === except || !channel.canRead("broadcast")) return false;
      if (message.meta && channel.hasReplayed(message.meta.id)) return false;
      messageRate.add();
      if (messageRate.perSecond() <= maxMessagesPerSecond) return true;
      channel.shutdown("Too many messages per second");
      return false;
    });
  }

  /** Encodes once per wire format, however many members there are. */
  #fanOut(key: string, frameFor: (topic: string) => ServerFrame, accepts: (channel: Channel) => boolean): void {
    const encoded = new Map<Serializer, WireData | undefined>();
    for (const channel of [...this.#members.get(key) ?? []]) {
      if (!accepts(channel)) continue;
      const { serializer } = channel.socket;
      if (!encoded.has(serializer)) encoded.set(serializer, serializer.encode(frameFor(channel.topic)));
      channel.socket.sendEncoded(encoded.get(serializer));
    }
  }
}

function toFrame(topic: string, message: Message): ServerFrame {
  if (message.kind === "body") {
    const { broadcast, meta } = message;
    return { kind: "broadcast", topic, broadcast, ...(meta && { meta }) };
  }
  return { kind: "message", joinRef: null, ref: null, topic, event: "broadcast", payload: message.map };
}
