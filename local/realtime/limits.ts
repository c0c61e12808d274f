/** Limits and deliberate delays; the defaults are those of a self-hosted Realtime. */
export interface RealtimeLimits {
  /** Of one broadcast, tracked presence or stored message. */
  maxPayloadKilobytes: number;
  /** A longer websocket frame closes the socket with 1009. */
  maxFrameBytes: number;
  /** A longer body of an HTTP request is answered with 413. */
  maxBodyBytes: number;
  /** Sent, delivered and stored messages together, as a mean over up to a minute; HTTP requests apart. */
  maxMessagesPerSecond: number;
  maxJoinsPerSecond: number;
  maxChannelsPerSocket: number;
  /** Sockets that have joined a channel. */
  maxConnectedUsers: number;
  /** Track and untrack of one channel together, in a window that begins with the first of them. */
  maxPresenceCallsPerChannel: number;
  presenceWindowMs: number;
  maxPresenceMessagesPerSecond: number;
  /** Also the default. */
  maxReplayRows: number;
  /** A socket that sends nothing for so long is closed. */
  idleTimeoutMs: number;
  /** How often sockets that have left all their channels are swept away. */
  noChannelSweepMs: number;
  /** A refused join is answered this much later, and nothing else of its socket meanwhile. */
  joinErrorDelayMs: number;
  connectErrorDelayMs: number;
  /** How often a channel's token is looked at again, at the least. */
  tokenCheckMs: number;
  replicationReadyTimeoutMs: number;
  /** As the service does: messages of the database are followed from the first join on, and while sockets are there. */
  linkOnDemand: boolean;
  /** How long the link outlasts the last socket that has joined, about, where it is made on demand. */
  linkIdleMs: number;
  /** How often partitions are made and dropped; also done whenever the database is connected to. */
  maintenanceMs: number;
  /** How long a server that is stopped refuses joins before it closes its sockets. */
  drainMs: number;
  /** Only private channels may be joined. */
  privateOnly: boolean;
  /** Realtime is switched off for the project. */
  suspended: boolean;
}

export const defaultLimits: RealtimeLimits = {
  maxPayloadKilobytes: 3000,
  maxFrameBytes: 5_000_000,
  maxBodyBytes: 8_000_000,
  maxMessagesPerSecond: 100,
  maxJoinsPerSecond: 100,
  maxChannelsPerSocket: 100,
  maxConnectedUsers: 200,
  maxPresenceCallsPerChannel: 5,
  presenceWindowMs: 30_000,
  maxPresenceMessagesPerSecond: 1000,
  maxReplayRows: 25,
  idleTimeoutMs: 60_000,
  noChannelSweepMs: 10 * 60_000,
  joinErrorDelayMs: 5000,
  connectErrorDelayMs: 2000,
  tokenCheckMs: 5 * 60_000,
  replicationReadyTimeoutMs: 60_000,
  linkOnDemand: false,
  linkIdleMs: 12 * 60_000,
  maintenanceMs: 4 * 60 * 60_000,
  drainMs: 0,
  privateOnly: false,
  suspended: false,
};

const allowedOverheadBytes = 500;
// The service measures its own encoding of a message, which adds a few bytes: to bytes alone, and to a body with event.
const bytesEncoding = 6;
const messageEncoding = 25;

/** Whether a message's body, with its event where that is measured along with it, is more than one may carry. */
export function exceedsPayload(limits: RealtimeLimits, bodyBytes: number, eventBytes?: number): boolean {
  const encoding = eventBytes === undefined ? bytesEncoding : messageEncoding + eventBytes;
  return bodyBytes + encoding > limits.maxPayloadKilobytes * 1000 + allowedOverheadBytes;
}
