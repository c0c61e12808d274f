import postgres from "postgres";
import { type Actor, type Answer, type Args, OpenTransaction, type TestDatabase, until } from "./database.ts";

/** Connections of a test's own to its database, for as many callers at once as a race needs. */
export class Connections implements AsyncDisposable {
  readonly sql: postgres.Sql;
  readonly #db: TestDatabase;
  readonly #open = new Set<OpenTransaction>();

  constructor(db: TestDatabase, max: number) {
    this.#db = db;
    this.sql = postgres(db.url, { max, onnotice: () => {}, connection: { application_name: "tests" } });
  }

  /** Calls a function of schema muster in a transaction of its own, on whichever connection is free. */
  call(actor: Actor, name: string, args: Args = {}): Promise<Answer> {
    return this.sql.begin((tx) => this.#db.callIn(tx as unknown as postgres.Sql, actor, name, args)) as Promise<Answer>;
  }

  /** A transaction that the test keeps open; it ends with these connections at the latest. */
  async transaction(): Promise<OpenTransaction> {
    const connection = await this.sql.reserve();
    await connection`begin`;
    const [row] = await connection`select pg_backend_pid() as pid`;
    const transaction = new OpenTransaction(this.#db, connection, Number(row!.pid));
    this.#open.add(transaction);
    return transaction;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const transaction of this.#open) await transaction.rollback();
    await this.sql.end({ timeout: 5 });
  }
}

/** What one side of a race does, in the transaction it is given. */
export type Step = (tx: OpenTransaction) => Promise<Answer>;

/** A call under way in a transaction of its own. */
export interface Running {
  readonly tx: OpenTransaction;
  /** Whether it has come to its end, well or badly. */
  readonly isDone: () => boolean;
  /** Its answer, once it is committed. */
  readonly committed: Promise<Answer>;
}

/** Starts a step that commits as soon as its call returns, and resolves when it waits for a lock or is done. */
export async function startStep(db: TestDatabase, connections: Connections, step: Step): Promise<Running> {
  const tx = await connections.transaction();
  let done = false;
  const committed = run(tx, step).finally(() => done = true);
  committed.catch(() => {});
  await until(async () => done || await isBlocked(db, tx.pid), `backend ${tx.pid} waits for a lock or is done`);
  return { tx, isDone: () => done, committed };
}

/**
 * Stages two steps over two connections: the first has run but not committed while the second runs as far as it comes;
 * then the first commits. Answers what both answered.
 */
export async function overlap(
  db: TestDatabase,
  connections: Connections,
  first: Step,
  second: Step,
): Promise<[Answer, Answer]> {
  const tx = await connections.transaction();
  const answer = await first(tx);
  const running = await startStep(db, connections, second);
  await tx.commit();
  return [answer, await running.committed];
}

async function run(tx: OpenTransaction, step: Step): Promise<Answer> {
  try {
    const answer = await step(tx);
    await tx.commit();
    return answer;
  } catch (error) {
    await tx.rollback();
    throw error;
  }
}

async function isBlocked(db: TestDatabase, pid: number): Promise<boolean> {
  const [row] = await db.sql`select cardinality(pg_blocking_pids(${pid})) > 0 as blocked`;
  return row!.blocked;
}
