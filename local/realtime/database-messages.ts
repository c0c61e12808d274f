import { channelKey, type Dispatcher } from "./dispatcher.ts";
import { toText, type UserBroadcast } from "./frames.ts";
import { exceedsPayload, type RealtimeLimits } from "./limits.ts";
import type { RateCounter } from "./rate-counter.ts";
import type { Insert, Row } from "./replication/pgoutput.ts";

export interface DatabaseMessagesOptions {
  dispatcher: Dispatcher;
  limits: RealtimeLimits;
  messageRate: RateCounter;
  log: (line: object) => void;
}

/** Broadcasts the rows that arrive in realtime.messages; one that cannot be sent is skipped with a log line. */
export function databaseMessages(options: DatabaseMessagesOptions): (insert: Insert) => void {
  const { dispatcher, limits, messageRate, log } = options;
  return ({ table, row }) => {
    if (!table.startsWith("messages")) return;
    const message = readMessage(row);
    const skip = (reason: string): void => log({ event: "realtime.row_skipped", topic: text(row, "topic"), reason });
    if (!message) return skip("topic, event, private or payload missing");
    const { key, broadcast, id } = message;
    if (exceedsPayload(limits, broadcast.body.length)) return skip("too large");
    if (messageRate.perSecond() >= limits.maxMessagesPerSecond) return skip("too many messages per second");
    messageRate.add();
    try {
      dispatcher.broadcast(key, { kind: "body", broadcast, meta: { id } });
    } catch (error) {
      skip(String(error));
    }
  };
}

function readMessage(row: Row): { key: string; id: string; broadcast: UserBroadcast } | undefined {
  const [id, topic, event, isPrivate] = ["id", "topic", "event", "private"].map((column) => text(row, column));
  if (id === undefined || topic === undefined || event === undefined || isPrivate === undefined) return undefined;
  const binary = text(row, "binary_payload");
  const json = row.get("payload");
  const content = binary !== undefined
    ? { encoding: "binary" as const, body: Uint8Array.fromHex(binary.slice("\\x".length)) }
    : json && { encoding: "json" as const, body: json };
  return content ? { key: channelKey(topic, isPrivate === "t"), id, broadcast: { event, ...content } } : undefined;
}

function text(row: Row, column: string): string | undefined {
  const value = row.get(column);
  return value ? toText(value) : undefined;
}
