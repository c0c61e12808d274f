import type { Sql } from "postgres";
import { z } from "zod";
import type { RealtimeLimits } from "./limits.ts";
import { transaction } from "../lasting-sql.ts";

export interface StoredMessage {
  id: string;
  event: string | null;
  payload: unknown;
  binaryPayload: Uint8Array<ArrayBuffer> | null;
}

/** Reads the stored private messages of a topic, oldest first; undefined where the request makes no sense. */
export type ReplayMessages = (topic: string, request: unknown) => Promise<StoredMessage[] | undefined>;

const earliestMs = Date.parse("0001-01-01T00:00:00Z");
const latestMs = Date.parse("9999-12-31T23:59:59Z");

export function replayer(sql: Sql, limits: RealtimeLimits, now: () => number): ReplayMessages {
  const ReplayRequest = z.object({
    since: z.number().int().min(earliestMs).max(latestMs),
    limit: z.preprocess(
      (limit) => limit === false ? limits.maxReplayRows : limit ?? limits.maxReplayRows,
      z.number().int().transform((n) => Math.min(Math.max(n, 1), limits.maxReplayRows)),
    ),
  });

  return async (topic, request) => {
    const parsed = ReplayRequest.safeParse(request);
    if (!parsed.success) return undefined;
    const { since, limit } = parsed.data;
    const until = now() + 60_000;
    const [, rows] = await transaction(sql, (tx) =>
      Promise.all([
        tx`set local statement_timeout = '5s'`,
        tx<{ id: string; event: string | null; payload: unknown; binary_payload: Uint8Array<ArrayBuffer> | null }[]>`
        select id, event, payload, binary_payload
        from realtime.messages
        where topic = ${topic} and private and extension = 'broadcast'
          and inserted_at >= ${new Date(since).toISOString()} and inserted_at < ${new Date(until).toISOString()}
        order by inserted_at desc
        limit ${limit}`,
      ]), "read only");
    return rows.reverse().map(({ id, event, payload, binary_payload }) => ({
      id,
      event,
      payload,
      binaryPayload: binary_payload && new Uint8Array(binary_payload),
    }));
  };
}
