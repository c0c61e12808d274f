import type { Duplex } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import postgres, { type Sql } from "postgres";
import { type Insert, PgoutputDecoder } from "./pgoutput.ts";
import { followWal } from "./wal-stream.ts";

export interface ReplicationLinkOptions {
  dbUrl: string;
  publication: string;
  slotPrefix: string;
  /** Makes what the stream needs (publication, partitions); called before each connection. */
  prepare: () => Promise<void>;
  onInsert: (insert: Insert) => void;
  log: (line: object) => void;
}

interface Connection {
  sql: Sql;
  /** Resolves with the reason once the stream is over. */
  ended: Promise<unknown>;
}

const retryMs = { first: 100, most: 2000 };

/**
 * Follows the inserts of a publication through a temporary slot: in commit order, without rolled-back rows, and only
 * what commits while the link stands. A lost connection is made anew until `stop`.
 */
export class ReplicationLink {
  readonly #options: ReplicationLinkOptions;
  readonly #stopping = new AbortController();
  #connection: Connection | undefined;
  #following: Promise<void> | undefined;
  #up = Promise.withResolvers<void>();

  constructor(options: ReplicationLinkOptions) {
    this.#options = options;
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Resolves when the first connection stands; throws what prevents it. */
  async start(): Promise<void> {
    this.#following = this.#follow(await this.#connect());
  }

  /** Connects as soon as it can, without waiting for that. */
  startSoon(): void {
    this.#following = this.#reconnect().then((first) => this.#follow(first));
  }

  /** Resolves once the link is up, at once if it is. */
  whenConnected(): Promise<void> {
    return this.#up.promise;
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#connection?.sql.end({ timeout: 0 });
    await this.#following;
  }

  async #follow(first: Connection | undefined): Promise<void> {
    const { log } = this.#options;
    for (let connection = first; connection; connection = await this.#reconnect()) {
      const reason = await connection.ended;
      this.#connection = undefined;
      this.#up = Promise.withResolvers();
      await connection.sql.end({ timeout: 0 });
      if (!this.#stopping.signal.aborted) log({ event: "realtime.replication_lost", reason: String(reason) });
    }
  }

  /** Tries until it connects; undefined once stopped. */
  async #reconnect(): Promise<Connection | undefined> {
    const { signal } = this.#stopping;
    for (let wait = retryMs.first; !signal.aborted; wait = Math.min(wait * 2, retryMs.most)) {
      try {
        await delay(wait, undefined, { signal });
        const connection = await this.#connect();
        this.#options.log({ event: "realtime.replication_restored" });
        return connection;
      } catch (error) {
        if (!signal.aborted) this.#options.log({ event: "realtime.replication_failed", reason: String(error) });
      }
    }
    return undefined;
  }

  async #connect(): Promise<Connection> {
    const { dbUrl, publication, slotPrefix, prepare, onInsert } = this.#options;
    await prepare();
    const sql = postgres(dbUrl, {
      max: 1,
      fetch_types: false,
      max_lifetime: null,
      connect_timeout: 5,
      onnotice: () => {},
      connection: { application_name: "realtime_replication", replication: "database" } as Record<string, string>,
    });
    // A slot is only made once every writing transaction of the moment has ended, and that is not waited for.
    this.#stopping.signal.addEventListener("abort", () => void sql.end({ timeout: 0 }), { once: true });
    try {
      const slot = `${slotPrefix}_${crypto.randomUUID().slice(0, 8)}`;
      // Replication commands, unlike SQL, know only upper case.
      const [created] = await sql.unsafe(
        `CREATE_REPLICATION_SLOT ${slot} TEMPORARY LOGICAL pgoutput NOEXPORT_SNAPSHOT`,
      );
      const stream = await sql.unsafe(
        `START_REPLICATION SLOT ${slot} LOGICAL ${created?.consistent_point} ` +
          `(proto_version '1', publication_names '${publication}')`,
      ).writable() as unknown as Duplex;
      const decoder = new PgoutputDecoder();
      const ended = followWal(stream, (message) => {
        const insert = decoder.decode(message);
        if (insert) onInsert(insert);
      });
      // Only now: an error of a stream that nobody follows would end the process.
      this.#stopping.signal.throwIfAborted();
      this.#connection = { sql, ended };
      this.#up.resolve();
      return this.#connection;
    } catch (error) {
      await sql.end({ timeout: 0 });
      throw error;
    }
  }
}
