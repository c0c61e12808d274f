import type { Channel } from "./channel.ts";
import type { RealtimeContext } from "./context.ts";
import { isRecord, type Ref, toBytes } from "./frames.ts";
import { exceedsPayload } from "./limits.ts";

const callWindowMs = 30_000;

/** Answers `track` and `untrack`: always with a reply, unless a limit ends the channel. */
export async function handlePresence(
  context: RealtimeContext,
  channel: Channel,
  ref: Ref,
  payload: unknown,
): Promise<void> {
  if (exceedsRate(context, channel)) return;
  if (!isRecord(payload) || payload.event === undefined) return channel.reply(ref, "ok");

  switch (String(payload.event).toLowerCase()) {
    case "track":
      return await track(context, channel, ref, payload.payload ?? {});
    case "untrack": {
      const diff = context.presence.untrack(channel);
      if (diff) context.dispatcher.presenceDiff(channel.key, diff);
      return channel.reply(ref, "ok");
    }
    default:
      return channel.reply(ref, "error");
  }
}

async function track(context: RealtimeContext, channel: Channel, ref: Ref, payload: unknown): Promise<void> {
  if (!isRecord(payload)) return channel.reply(ref, "error", { reason: "Presence track payload must be a map" });
  if (exceedsPayload(context.limits, toBytes(JSON.stringify(payload)).length)) {
    return channel.shutdown("Track message size exceeded");
  }
  if (!await mayTrack(context, channel)) return channel.reply(ref, "error");
  if (channel.closed) return;
  channel.presenceEnabled = true;
  const diff = context.presence.track(channel, payload);
  if (diff) context.dispatcher.presenceDiff(channel.key, diff);
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

function exceedsRate({ limits, now, rates }: RealtimeContext, channel: Channel): boolean {
  rates.presence.add();
  const since = now() - callWindowMs;
  channel.presenceCalls = [...channel.presenceCalls.filter((at) => at > since), now()];
  if (channel.presenceCalls.length > limits.maxPresenceCallsPerChannel) {
    channel.shutdown("Client presence rate limit exceeded");
  } else if (rates.presence.perSecond() > limits.maxPresenceMessagesPerSecond) {
    channel.shutdown("Too many presence messages per second");
  }
  return channel.closed;
}
