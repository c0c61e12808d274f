import { AuthorizationError, type Extension } from "./authorization.ts";
import type { Channel } from "./channel.ts";
import type { RealtimeContext } from "./context.ts";
import { isRecord } from "./frames.ts";
import { TokenError } from "./tokens.ts";

/** Gives a channel a new token: silently when it may stay, by ending it when it may not. */
export async function refreshToken(context: RealtimeContext, channel: Channel, payload: unknown): Promise<void> {
  const token = isRecord(payload) ? payload.access_token : undefined;
  if (typeof token !== "string" || token.startsWith("sb_") || token === channel.token) return;
  try {
    const claims = await context.verifyToken(token);
    const asks = channel.isPrivate && !context.faults.frozenPermissions;
    const refusal = asks && await refusalFor(context, channel, claims);
    if (refusal) return channel.shutdown(refusal);
    if (channel.closed) return;
    channel.token = token;
    channel.claims = claims;
    channel.watchToken();
  } catch (error) {
    channel.shutdown(shutdownText(error, channel.subTopic));
  }
}

/** Asks the read policies again; undefined when nothing that could be read is lost. */
async function refusalFor(
  { authorizer }: RealtimeContext,
  channel: Channel,
  claims: Channel["claims"],
): Promise<string | undefined> {
  const asked: Extension[] = channel.presenceEnabled ? ["broadcast", "presence"] : ["broadcast"];
  const before = channel.readable;
  const after = await authorizer.readable({ ...channel.subject, claims }, asked);
  if (!asked.some((extension) => after[extension])) return noReadPermission(channel.subTopic);
  if (asked.some((extension) => before[extension] && !after[extension])) {
    return `You no longer have permission to read from this Channel topic: ${channel.subTopic}`;
  }
  channel.readable = after;
  channel.writable = undefined;
  return undefined;
}

export function noReadPermission(subTopic: string): string {
  return `You do not have permissions to read from this Channel topic: ${subTopic}`;
}

function shutdownText(error: unknown, subTopic: string): string {
  if (error instanceof TokenError) return error.shutdownText;
  if (error instanceof AuthorizationError) {
    if (error.code === "policy-error") return noReadPermission(subTopic);
    if (error.code === "query-canceled") return "Query was cancelled, please try again";
  }
  return "Realtime was unable to connect to the project database";
}
