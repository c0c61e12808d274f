import type { Authorizer } from "./authorization.ts";
import type { Dispatcher } from "./dispatcher.ts";
import type { RealtimeFaults } from "./faults.ts";
import type { RealtimeLimits } from "./limits.ts";
import type { PresenceRegistry } from "./presence-registry.ts";
import type { RateCounter } from "./rate-counter.ts";
import type { ReplayMessages } from "./replay.ts";
import type { Socket } from "./socket.ts";
import type { VerifyToken } from "./tokens.ts";

/** What one Realtime server shares between its sockets, channels and routes. */
export interface RealtimeContext {
  limits: RealtimeLimits;
  faults: RealtimeFaults;
  now: () => number;
  log: (line: object) => void;
  verifyToken: VerifyToken;
  authorizer: Authorizer;
  dispatcher: Dispatcher;
  presence: PresenceRegistry;
  replayMessages: ReplayMessages;
  /** Whether messages from the database are followed. */
  isReplicating: () => boolean;
  /** Resolves once they are. */
  replicationReady: () => Promise<void>;
  rates: { messages: RateCounter; joins: RateCounter; presence: RateCounter; requests: RateCounter };
  sockets: Set<Socket>;
  /** Called with every join, before what follows its answer. */
  joined: () => void;
  /** Set while the server shuts down. */
  closing: boolean;
}

/** Sockets that have joined a channel: they count until they close, whether or not they are still in one. */
export function connectedUsers({ sockets }: RealtimeContext): number {
  let count = 0;
  for (const socket of sockets) if (socket.hasJoined) count++;
  return count;
}
