/** Limits and deliberate delays; the defaults are those of a self-hosted Realtime. */
export interface RealtimeLimits {
  /** Of one broadcast, tracked presence or stored message. */
  maxPayloadKilobytes: number;
  /** A longer websocket frame closes the socket with 1009. */
  maxFrameBytes: number;
  /** Sent, delivered and stored messages together, as a mean over up to a minute. */
  maxMessagesPerSecond: number;
  maxJoinsPerSecond: number;
  maxChannelsPerSocket: number;
  /** Sockets that have joined at least one channel. */
  maxConnectedUsers: number;
  /** Track and untrack of one channel, per 30 s. */
  maxPresenceCallsPerChannel: number;
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
  /** Only private channels may be joined. */
  privateOnly: boolean;
}

export const defaultLimits: RealtimeLimits = {
  maxPayloadKilobytes: 3000,
  maxFrameBytes: 5_000_000,
  maxMessagesPerSecond: 100,
  maxJoinsPerSecond: 100,
  maxChannelsPerSocket: 100,
  maxConnectedUsers: 200,
  maxPresenceCallsPerChannel: 5,
  maxPresenceMessagesPerSecond: 1000,
  maxReplayRows: 25,
  idleTimeoutMs: 60_000,
  noChannelSweepMs: 10 * 60_000,
  joinErrorDelayMs: 5000,
  connectErrorDelayMs: 2000,
  tokenCheckMs: 5 * 60_000,
  replicationReadyTimeoutMs: 60_000,
  privateOnly: false,
};

// The service measures its own encoding of a message, which adds a few bytes to the body and the event.
const allowedOverheadBytes = 500;
const encodingBytes = 25;

/** Whether a body, with its event name, is more than one message may carry. */
export function exceedsPayload(limits: RealtimeLimits, bodyBytes: number, eventBytes = 0): boolean {
  return bodyBytes + eventBytes + encodingBytes > limits.maxPayloadKilobytes * 1000 + allowedOverheadBytes;
}
