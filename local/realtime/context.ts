import type { Authorizer } from "./authorization.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { RealtimeLimits } from "./limits.ts";
import type { PresenceRegistry } from "./presence-registry.ts";
import type { RateCounter } from "./rate-counter.ts";
import type { ReplayMessages } from "./replay.ts";
import type { Socket } from "./socket.ts";
import type { VerifyToken } from "./tokens.ts";

/** What one Realtime server shares between its sockets, channels and routes. */
export interface RealtimeContext {
  limits: RealtimeLimits;
  now: () => number;
  log: (line: object) => void;
  verifyToken: VerifyToken;
  authorizer: Authorizer;
  dispatcher: Dispatcher;
  presence: PresenceRegistry;
  replayMessages: ReplayMessages;
  /** Resolves once messages from the database are followed. */
  replicationReady: () => Promise<void>;
  rates: { messages: RateCounter; joins: RateCounter; presence: RateCounter; requests: RateCounter };
  sockets: Set<Socket>;
  /** Set while the server shuts down. */
  closing: boolean;
}

/** Sockets that joined at least one channel. */
export function connectedUsers({ sockets }: RealtimeContext): number {
  let count = 0;
  for (const socket of sockets) if (socket.channels.size > 0) count++;
  return count;
}
