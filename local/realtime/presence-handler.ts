import type { Channel } from "./channel.ts";
import type { RealtimeContext } from "./context.ts";
import { isRecord, type Ref, toBytes } from "./frames.ts";
import { exceedsPayload } from "./limits.ts";

const tooMany = "Too many presence messages per second";

/** Answers `track` and `untrack`: always with a reply, unless a limit ends the channel. */
export async function handlePresence(
  context: RealtimeContext,
  channel: Channel,
  ref: Ref,
  payload: unknown,
): Promise<void> {
  if (!isRecord(payload) || !("event" in payload)) return channel.reply(ref, "ok");
  if (typeof payload.event !== "string") throw new TypeError("A presence event is a text");
  if (exceedsCalls(context, channel)) return channel.shutdown("Client presence rate limit exceeded");

  switch (payload.event.toLowerCase()) {
    case "track":
      return await track(context, channel, ref, "payload" in payload ? payload.payload : {});
    case "untrack": {
      const diff = context.presence.untrack(channel);
      if (diff) context.dispatcher.presenceDiff(channel.key, diff);
      return channel.reply(ref, "ok");
    }
    default:
      return channel.reply(ref, "error");
  }
}

/** Tells a channel that has just been joined who is there. */
export function sendPresenceState(context: RealtimeContext, channel: Channel): void {
  if (!channel.presenceEnabled || !channel.canRead("presence")) return;
  if (exceedsRate(context)) return channel.shutdown(tooMany);
  channel.push("presence_state", context.presence.state(channel.key));
}

async function track(context: RealtimeContext, channel: Channel, ref: Ref, payload: unknown): Promise<void> {
  if (!await mayTrack(context, channel)) return channel.reply(ref, "error");
  if (channel.closed) return;
  if (!isRecord(payload)) return channel.reply(ref, "error", { reason: "Presence track payload must be a map" });
  if (context.presence.isTracked(channel, payload)) return channel.reply(ref, "ok");
  if (exceedsPayload(context.limits, toBytes(JSON.stringify(payload)).length)) {
    return channel.shutdown("Track message size exceeded");
  }
  if (exceedsRate(context)) return channel.shutdown(tooMany);

  channel.presenceEnabled = true;
  context.dispatcher.presenceDiff(channel.key, context.presence.track(channel, payload));
  channel.reply(ref, "ok");
}

/** Tracking enables presence, so reading is asked along with the first one where the join did not. */
async function mayTrack({ authorizer, log }: RealtimeContext, channel: Channel): Promise<boolean> {
  try {
    channel.writable ??= await authorizer.writable(channel.subject);
    if (channel.writable.presence && channel.readable.presence === undefined) {
      const { presence = false } = await authorizer.readable(channel.subject, ["presence"]);
      channel.readable = { ...channel.readable, presence };
    }
  } catch (error) {
    log({ event: "realtime.track_refused", topic: channel.subTopic, reason: String(error) });
    return false;
  }
  return channel.writable.presence === true;
}

function exceedsCalls({ limits, now }: RealtimeContext, channel: Channel): boolean {
  const { presenceCalls } = channel;
  if (presenceCalls && now() <= presenceCalls.until) return ++presenceCalls.count > limits.maxPresenceCallsPerChannel;
  channel.presenceCalls = { count: 1, until: now() + limits.presenceWindowMs };
  return false;
}

function exceedsRate({ limits, rates }: RealtimeContext): boolean {
  if (rates.presence.perSecond() > limits.maxPresenceMessagesPerSecond) return true;
  rates.presence.add();
  return false;
}
