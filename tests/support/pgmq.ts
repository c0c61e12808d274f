import type postgres from "postgres";
import type { TestDatabase } from "./database.ts";

const text = await Deno.readTextFile(new URL("pgmq.sql", import.meta.url));

/** Makes the schema `pgmq` as the platform's `postgres` would, unless it is there; several may do so at once. */
export async function installPgmq(sql: postgres.Sql): Promise<void> {
  await sql.begin(async (tx) => {
    await tx`select pg_advisory_xact_lock(hashtext('tests: pgmq'))`;
    const [row] = await tx`select to_regnamespace('pgmq') is not null as is_there`;
    if (row!.is_there) return;
    await tx`set local role postgres`;
    await tx.unsafe(text);
  });
}

export interface Message {
  readonly id: number;
  readonly message: unknown;
  readonly headers: Record<string, unknown> | null;
}

/** A queue of pgmq, for the test that made it. */
export class Queue {
  readonly name: string;
  readonly #sql: postgres.Sql;

  private constructor(sql: postgres.Sql, name: string) {
    this.#sql = sql;
    this.name = name;
  }

  static async create(sql: postgres.Sql, name = `q${crypto.randomUUID().slice(0, 8)}`): Promise<Queue> {
    await installPgmq(sql);
    await sql.begin(async (tx) => {
      await tx`set local role postgres`;
      await tx`select pgmq.create(${name})`;
    });
    return new Queue(sql, name);
  }

  /** Sends messages with one statement, and answers their numbers. */
  async send(...messages: unknown[]): Promise<number[]> {
    const rows = await this.#sql`
      select * from pgmq.send_batch(${this.name},
        array(select m from jsonb_array_elements(${JSON.stringify(messages)}::text::jsonb) m)) as id`;
    return rows.map(({ id }) => Number(id));
  }

  /** What a reader of the queue is given, and hidden from others for a while. */
  read(): Promise<Message[]> {
    return this.#messages(this.#sql`
      select msg_id, message, headers from pgmq.read(${this.name}, 30, 100) order by msg_id`);
  }

  /** Every message in the queue, seen by its readers or not. */
  waiting(): Promise<Message[]> {
    return this.#messages(this.#sql`
      select msg_id, message, headers from ${this.#sql(`pgmq.q_${this.name.toLowerCase()}`)} order by msg_id`);
  }

  archived(): Promise<Message[]> {
    return this.#messages(this.#sql`
      select msg_id, message, headers from ${this.#sql(`pgmq.a_${this.name.toLowerCase()}`)} order by msg_id`);
  }

  async #messages(rows: Promise<readonly postgres.Row[]>): Promise<Message[]> {
    return (await rows).map(({ msg_id, message, headers }) => ({ id: Number(msg_id), message, headers }));
  }
}

/** Queues go by the real time, so the database shall too: its clock is set there, and stands still again. */
export async function setClockToRealTime(db: TestDatabase): Promise<void> {
  await db.sql`update muster_private.test_clock set at = clock_timestamp() + interval '1 minute'`;
  await db.sql`update muster_private.scheduler_state
    set last_tick_at = (select at from muster_private.test_clock), was_late = true`;
}
