import type { Channel } from "./channel.ts";
import type { RealtimeContext } from "./context.ts";
import type { Message } from "./dispatcher.ts";
import { type Ref, toBytes } from "./frames.ts";
import { exceedsPayload } from "./limits.ts";

/** Relays a client's broadcast. What may not be sent is dropped without an answer, even where one was asked for. */
export async function handleBroadcast(
  context: RealtimeContext,
  channel: Channel,
  ref: Ref,
  message: Message,
): Promise<void> {
  if (!await mayWrite(context, channel) || channel.closed) return;
  const { ack, self } = channel.config;
  context.rates.messages.add();
  if (isTooLarge(context, message)) {
    if (ack) channel.reply(ref, "error", "payload_size_exceeded");
    return;
  }
  context.dispatcher.broadcast(channel.key, message, self ? undefined : channel);
  if (ack) channel.reply(ref, "ok");
}

async function mayWrite({ authorizer, log }: RealtimeContext, channel: Channel): Promise<boolean> {
  try {
    channel.writable ??= await authorizer.writable(channel.subject);
  } catch (error) {
    log({ event: "realtime.broadcast_dropped", topic: channel.subTopic, reason: String(error) });
  }
  return channel.writable?.broadcast === true;
}

function isTooLarge({ limits }: RealtimeContext, message: Message): boolean {
  if (message.kind === "map") return exceedsPayload(limits, toBytes(JSON.stringify(message.map)).length);
  const { body, event } = message.broadcast;
  return exceedsPayload(limits, body.length, toBytes(event).length);
}
