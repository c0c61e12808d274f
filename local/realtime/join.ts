import { AuthorizationError, type Extension, type Permissions } from "./authorization.ts";
import { Channel } from "./channel.ts";
import { connectedUsers, type RealtimeContext } from "./context.ts";
import type { ClientFrame } from "./frames.ts";
import { JoinConfig } from "./join-config.ts";
import type { StoredMessage } from "./replay.ts";
import type { Socket } from "./socket.ts";
import { noReadPermission } from "./token-refresh.ts";
import { type Claims, TokenError } from "./tokens.ts";

export const topicPrefix = "realtime:";

type JoinFrame = ClientFrame & { kind: "message" };

/** A join that is refused; the message is the reason clients read. */
export class JoinError extends Error {
  override name = "JoinError";

  constructor(code: string, text: string, readonly closesSocket = false) {
    super(`${code}: ${text}`);
  }
}

/** Checks a join in the service's order and gives the channel, subscribed, or throws a JoinError. */
export async function joinChannel(context: RealtimeContext, socket: Socket, frame: JoinFrame): Promise<void> {
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

  const token = config.token === undefined || config.token.startsWith("sb_") ? socket.token : config.token;
  const claims = await verifyToken(token);
  const readable = config.isPrivate
    ? await readPermissions(context, socket, subTopic, claims, config)
    : await publicPermissions(context);
  const replayed = config.replay === undefined ? [] : await readReplay(context, subTopic, config, readable);
  if (socket.closed) return;

  const channel = new Channel(context, { socket, joinRef, topic, subTopic, config, token, claims, readable });
  socket.channels.set(topic, channel);
  dispatcher.subscribe(channel);
  const postgresChanges = config.postgresChanges.map((change, index) => ({ ...change, id: index + 1 }));
  channel.reply(ref, "ok", { postgres_changes: postgresChanges });
  afterJoin(context, channel, replayed);
}

function checkCapacity(context: RealtimeContext, socket: Socket): void {
  const { limits, rates } = context;
  if (socket.channels.size === 0 && connectedUsers(context) >= limits.maxConnectedUsers) {
    throw new JoinError("ConnectionRateLimitReached", "Too many connected users");
  }
  rates.joins.add();
  if (rates.joins.perSecond() > limits.maxJoinsPerSecond) {
    throw new JoinError("ClientJoinRateLimitReached", "Too many joins per second", true);
  }
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
  if (channel.presenceEnabled && channel.canRead("presence")) {
    channel.push("presence_state", context.presence.state(channel.key));
  }
  if (channel.config.postgresChanges.length > 0) {
    channel.system("error", "Database changes are not supported by this server", "postgres_changes");
  }
}

function replay(channel: Channel, { id, event, payload, binaryPayload }: StoredMessage): void {
  const meta = { id, replayed: true as const };
  channel.markReplayed(id);
  if (binaryPayload) {
    const broadcast = { event, encoding: "binary" as const, body: binaryPayload };
    channel.send({ kind: "broadcast", topic: channel.topic, broadcast, meta });
  } else {
    channel.push("broadcast", { event, payload, type: "broadcast", meta });
  }
}

async function announceReplication({ limits, replicationReady }: RealtimeContext, channel: Channel): Promise<void> {
  const timeout = Promise.withResolvers<false>();
  const timer = setTimeout(() => timeout.resolve(false), limits.replicationReadyTimeoutMs);
  const ready = await Promise.race([replicationReady().then(() => true), timeout.promise]);
  clearTimeout(timer);
  if (ready) channel.system("ok", "Replication connection established");
  else channel.shutdown("Replication connection was not established in time");
}

/** What a client is told about a failed join. */
export function toJoinError(error: unknown, topic: string): JoinError {
  if (error instanceof JoinError) return error;
  if (error instanceof TokenError) return new JoinError(error.code, error.message);
  if (error instanceof AuthorizationError) {
    if (error.code === "policy-error") {
      return new JoinError("Unauthorized", noReadPermission(topic.slice(topicPrefix.length)));
    }
    if (error.code === "missing-partition") {
      return new JoinError("MissingPartition", "Realtime was unable to find the expected messages partition");
    }
  }
  return new JoinError("UnableToConnectToProject", "Realtime was unable to connect to the project database");
}
