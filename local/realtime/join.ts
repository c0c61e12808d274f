import { AuthorizationError, type Extension, type Permissions } from "./authorization.ts";
import { Channel } from "./channel.ts";
import { connectedUsers, type RealtimeContext } from "./context.ts";
import { type ClientFrame, isRecord } from "./frames.ts";
import { JoinConfig, joinToken } from "./join-config.ts";
import { sendPresenceState } from "./presence-handler.ts";
import type { StoredMessage } from "./replay.ts";
import type { Socket } from "./socket.ts";
import { noReadPermission } from "./token-refresh.ts";
import { type Claims, TokenError } from "./tokens.ts";

export const topicPrefix = "realtime:";

type JoinFrame = ClientFrame & { kind: "message" };

/** A join that is refused; the message is the reason clients read. */
export class JoinError extends Error {
  override name = "JoinError";

  constructor(code: string | undefined, text: string, readonly closesSocket = false) {
    super(code === undefined ? text : `${code}: ${text}`);
  }
}

/**
 * Checks a join in the service's order, and subscribes and answers it, or throws a JoinError. What comes after the
 * answer is left to the caller: it sends the frames that open the channel.
 */
export async function joinChannel(context: RealtimeContext, socket: Socket, frame: JoinFrame): Promise<() => void> {
  const { dispatcher, limits, verifyToken } = context;
  const { topic, joinRef, ref } = frame;
  const subTopic = topic.slice(topicPrefix.length);
  const config = JoinConfig.parse(frame.payload);

  if (subTopic === "") throw new JoinError("TopicNameRequired", "You must provide a topic name");
  if (context.closing) throw new JoinError("RealtimeRestarting", "Realtime is restarting, please standby");
  if (limits.privateOnly && !config.isPrivate) {
    throw new JoinError("PrivateOnly", "This project only allows private channels");
  }
  checkCapacity(context, socket);

  const token = joinToken(config, socket.token);
  const claims = await verifyToken(token);
  const readable = config.isPrivate
    ? await readPermissions(context, socket, subTopic, claims, config)
    : await publicPermissions(context);
  const replayed = config.asksReplay ? await readReplay(context, subTopic, config, readable) : [];
  if (socket.closed) return () => {};

  const channel = new Channel(context, { socket, joinRef, topic, subTopic, config, token, claims, readable });
  socket.channels.set(topic, channel);
  dispatcher.subscribe(channel);
  const postgresChanges = config.postgresChanges.map((change, index) => ({ ...change, id: index + 1 }));
  channel.reply(ref, "ok", { postgres_changes: postgresChanges });
  return () => afterJoin(context, channel, replayed);
}

function checkCapacity(context: RealtimeContext, socket: Socket): void {
  const { limits, rates } = context;
  if (!socket.hasJoined && connectedUsers(context) >= limits.maxConnectedUsers) {
    throw new JoinError("ConnectionRateLimitReached", "Too many connected users");
  }
  if (rates.joins.perSecond() >= limits.maxJoinsPerSecond) {
    throw new JoinError("ClientJoinRateLimitReached", "Too many joins per second", true);
  }
  rates.joins.add();
  if (socket.channels.size >= limits.maxChannelsPerSocket) {
    throw new JoinError("ChannelRateLimitReached", "Too many channels");
  }
}

async function publicPermissions({ authorizer }: RealtimeContext): Promise<Permissions> {
  await authorizer.ping();
  return { broadcast: true, presence: true };
}

async function readPermissions(
  { authorizer }: RealtimeContext,
  socket: Socket,
  topic: string,
  claims: Claims,
  config: JoinConfig,
): Promise<Permissions> {
  const asked: Extension[] = config.presenceEnabled ? ["broadcast", "presence"] : ["broadcast"];
  const readable = await authorizer.readable({ topic, claims, headers: socket.headers }, asked);
  if (!readable.broadcast && !readable.presence) throw new JoinError("Unauthorized", noReadPermission(topic));
  return readable;
}

async function readReplay(
  { log, replayMessages }: RealtimeContext,
  subTopic: string,
  config: JoinConfig,
  readable: Permissions,
): Promise<StoredMessage[]> {
  const refuse = (text: string) => new JoinError("UnableToReplayMessages", text);
  if (!config.isPrivate) throw refuse("Replay is not allowed for public channels");
  if (!readable.broadcast) throw new JoinError("Unauthorized", noReadPermission(subTopic));
  if (!isRecord(config.replay)) return [];
  const messages = await replayMessages(subTopic, config.replay).catch((error) => {
    log({ event: "realtime.replay_failed", topic: subTopic, reason: String(error) });
    throw refuse("Realtime was unable to replay messages");
  });
  if (!messages) throw refuse("Replay params are not valid");
  return messages;
}

function afterJoin(context: RealtimeContext, channel: Channel, replayed: StoredMessage[]): void {
  for (const message of replayed) replay(channel, message);
  if (channel.config.replicationReady) void announceReplication(context, channel);
  sendPresenceState(context, channel);
  if (channel.config.postgresChanges.length > 0) {
    channel.system("error", "Database changes are not supported by this server", "postgres_changes");
  }
}

function replay(channel: Channel, { id, event, payload, binaryPayload }: StoredMessage): void {
  const meta = { id, replayed: true as const };
  channel.markReplayed(id);
  if (binaryPayload) {
    const broadcast = { event: event ?? "", encoding: "binary" as const, body: binaryPayload };
    channel.send({ kind: "broadcast", topic: channel.topic, broadcast, meta });
  } else {
    channel.push("broadcast", { event, payload, type: "broadcast", meta });
  }
}

async function announceReplication(context: RealtimeContext, channel: Channel): Promise<void> {
  const ready = context.isReplicating() || await comesUp(context);
  if (ready) channel.system("ok", "Replication connection established");
  else channel.shutdown("Replication connection was not established in time");
}

async function comesUp({ limits, replicationReady }: RealtimeContext): Promise<boolean> {
  const timeout = Promise.withResolvers<false>();
  const timer = setTimeout(() => timeout.resolve(false), limits.replicationReadyTimeoutMs);
  const ready = await Promise.race([replicationReady().then(() => true), timeout.promise]);
  clearTimeout(timer);
  return ready;
}

/** What a client is told about a failed join. */
export function toJoinError(error: unknown, topic: string): JoinError {
  if (error instanceof JoinError) return error;
  if (error instanceof TokenError) {
    return new JoinError(error.code === "UnknownErrorOnChannel" ? undefined : error.code, error.message);
  }
  if (error instanceof AuthorizationError) {
    if (error.code === "policy-error") {
      return new JoinError("Unauthorized", noReadPermission(topic.slice(topicPrefix.length)));
    }
    if (error.code === "query-canceled") return new JoinError("QueryCanceled", String(error.cause));
    if (error.code === "missing-partition") {
      return new JoinError("MissingPartition", "Realtime was unable to find the expected messages partition");
    }
  }
  return new JoinError("UnableToConnectToProject", "Realtime was unable to connect to the project database");
}
