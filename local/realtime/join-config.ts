import { z } from "zod";

// A malformed value does not fail the join: its field takes the default.
const flag = z.union([
  z.boolean(),
  z.string().toLowerCase().pipe(z.enum(["true", "false"])).transform((s) => s === "true"),
])
  .catch(false);

const presenceKey = z.union([z.string(), z.number(), z.boolean()]).transform(String)
  .pipe(z.string().min(1))
  .catch(() => crypto.randomUUID());

const section = z.record(z.string(), z.unknown()).catch({});
const token = z.string().optional().catch(undefined);

/** What a client asks for when it joins a channel. */
export const JoinConfig = section.transform((payload) => {
  const config = section.parse(payload.config);
  const broadcast = section.parse(config.broadcast);
  const presence = section.parse(config.presence);
  return {
    userToken: token.parse(payload.user_token),
    accessToken: token.parse(payload.access_token),
    isPrivate: flag.parse(config.private),
    ack: flag.parse(broadcast.ack),
    self: flag.parse(broadcast.self),
    replicationReady: flag.parse(broadcast.replication_ready),
    asksReplay: "replay" in broadcast,
    /** As sent: unlike the rest, a malformed replay fails the join. */
    replay: broadcast.replay,
    presenceEnabled: flag.parse(presence.enabled),
    presenceKey: presenceKey.parse(presence.key),
    postgresChanges: z.array(section).catch([]).parse(config.postgres_changes),
  };
});
export type JoinConfig = z.infer<typeof JoinConfig>;

/** The token a channel lives by: the join's own, unless that is a key of the gateway's. */
export function joinToken({ userToken, accessToken }: JoinConfig, connectionToken: string): string {
  if ((accessToken ?? userToken)?.startsWith("sb_")) return connectionToken;
  return userToken ?? accessToken ?? connectionToken;
}
