import postgres from "postgres";
import { createTenant, createWorker, type TestTenant, type TestWorker } from "../support/actors.ts";
import { type Actor, type Answer as SqlAnswer, type Args, service, TestDatabase } from "../support/database.ts";
import { failureCode, retryBase, sorted } from "./model.ts";
import {
  type Answer,
  type Attempt,
  type Call,
  type JobSpec,
  type Kind,
  laneLimits,
  type State,
  type Worker,
} from "./vocabulary.ts";

type Backend = { readonly sql: postgres.ReservedSql; readonly pid: number };

/** How many calls are under way at once, at most. */
export const width = 3;
const capabilities: Readonly<Record<Kind, string[]>> = { any: [], gpu: ["gpu"] };
const machines: readonly { readonly slots: number; readonly serves: readonly Kind[]; readonly listening: boolean }[] = [
  { slots: 2, serves: ["any", "gpu"], listening: true },
  { slots: 1, serves: ["any"], listening: true },
  { slots: 2, serves: ["any", "gpu"], listening: false },
];
const start = "2026-01-01T00:00:00Z";
const leaseSeconds = 90;

/** A database of its own in which calls are staged over several connections, so that they meet each other's locks. */
export class Stage implements AsyncDisposable {
  /** Calls that were seen waiting for a lock. */
  waits = 0;
  calls = 0;
  readonly #db: TestDatabase;
  readonly #sql: postgres.Sql;
  readonly #backends: readonly Backend[];
  readonly #tenant: TestTenant;
  readonly #workers: readonly TestWorker[];
  readonly #ids = new Map<string, string>();
  #events = 0;

  private constructor(
    db: TestDatabase,
    sql: postgres.Sql,
    backends: readonly Backend[],
    tenant: TestTenant,
    workers: readonly TestWorker[],
  ) {
    this.#db = db;
    this.#sql = sql;
    this.#backends = backends;
    this.#tenant = tenant;
    this.#workers = workers;
  }

  static async open(): Promise<Stage> {
    const db = await TestDatabase.create();
    await noteRanks(db);
    const sql = postgres(db.url, { max: width + 1, onnotice: () => {}, connection: { application_name: "tests" } });
    const backends = [];
    for (let i = 0; i < width; i++) {
      const connection = await sql.reserve();
      const [row] = await connection`select pg_backend_pid() as pid`;
      backends.push({ sql: connection, pid: Number(row!.pid) });
    }
    const tenant = await createTenant(db);
    const workers: TestWorker[] = [];
    for (const _ of machines) workers.push(await createWorker(db, tenant, { capabilities: ["gpu"], slots: 2 }));
    // Where all else is equal the worker of the lower id is next: so the model knows them by that order.
    workers.sort((a, b) => a.id < b.id ? -1 : 1);
    for (const [index, { slots, serves, listening }] of machines.entries()) {
      await workers[index]!.hello({ slots, listening, capabilities: serves.flatMap((kind) => capabilities[kind]) });
    }
    return new Stage(db, sql, backends, tenant, workers);
  }

  /** Forgets all jobs and puts the workers back to work; answers what is there then. */
  async reset(): Promise<State> {
    this.#ids.clear();
    await this.#sql.unsafe(`
      delete from muster.late_results;
      delete from muster.jobs;
      delete from muster_private.test_ranks;
      delete from muster_private.rate_buckets;
      delete from muster.concurrency_keys;
      delete from muster.job_classes;
      delete from muster_private.audit_inbox;
      set session_replication_role = replica;
      delete from muster.audit_log;
      delete from muster_private.audit_chains;
      set session_replication_role = origin;
      delete from realtime.messages;
      update muster_private.test_clock set at = '${start}';
      update muster_private.scheduler_state set last_tick_at = '${start}', was_late = false;
      update muster.worker_heartbeats set last_seen_at = '${start}', deadline_at = '${start}'::timestamptz + interval
        '${leaseSeconds} s', wake_nonce = 'first', wake_sent_at = '${start}', wake_heard_at = '${start}';
      update muster.worker_devices set held_count = 0, status = 'online', deaf = false, drain_requested_at = null,
        last_assigned_at = null,
        listening = id in ('${
      this.#workers.filter((_, i) => machines[i]!.listening).map(({ id }) => id).join("', '")
    }');
    `);
    return {
      now: 0,
      lastTick: 0,
      wasLate: false,
      jobs: [],
      workers: machines.map(({ slots, serves, listening }): Worker => ({
        slots,
        serves,
        status: "online",
        listening,
        deaf: false,
        drainRequested: false,
        lastAssigned: null,
        leaseUntil: leaseSeconds,
        nonce: "first",
        wakeSent: 0,
        wakeHeard: 0,
      })),
    };
  }

  /** Moves the clock and nothing else, as time does: whether the next tick is late shows when it comes. */
  async pass(seconds: number): Promise<void> {
    await this.#sql`update muster_private.test_clock set at = at + make_interval(secs => ${seconds})`;
  }

  /**
   * Makes the calls: the first is not committed before each of the others has either come to its end or waits for a
   * lock, all of them on connections of their own.
   */
  async play(calls: readonly Call[], now: number): Promise<Answer[]> {
    const requests = calls.map((call) => this.#request(call, now));
    this.calls += calls.length;
    try {
      const [first, ...others] = requests;
      const answers = [await this.#begin(0, first!, others.length === 0)];
      const rest: Promise<SqlAnswer>[] = [];
      for (const [index, request] of others.entries()) {
        let done = false;
        const answer = this.#begin(index + 1, request, true).finally(() => done = true);
        answer.catch(() => {});
        rest.push(answer);
        if (await this.#waits(index + 1, () => done)) this.waits += 1;
      }
      if (others.length > 0) await this.#backends[0]!.sql`commit`;
      answers.push(...await Promise.all(rest));
      return answers.map((answer, index) => this.#read(calls[index]!, answer));
    } catch (error) {
      for (const { sql } of this.#backends) await sql`rollback`;
      throw error;
    }
  }

  /** What the database holds, in the model's words. */
  async look(): Promise<State> {
    const [row] = await this.#sql`
      select ${seconds("(select at from muster_private.test_clock)", this.#sql)} as now,
        (select ${seconds("last_tick_at", this.#sql)} from muster_private.scheduler_state) as "lastTick",
        (select was_late from muster_private.scheduler_state) as "wasLate",
        (select coalesce(jsonb_agg(to_jsonb(j)), '[]') from (
          select payload ->> 'name' as name, status, attempts, released_count as released, worker_id as worker, result,
            error ->> 'code' as error, ${seconds("run_at", this.#sql)} as "runAt",
            ${seconds("attempt_deadline_at", this.#sql)} as deadline,
            coalesce(k.rank, 0) as rank, coalesce(k.priority, o.priority) as "raisedTo",
            case when status = 'running' then ${seconds("started_at", this.#sql)} end as "startedAt",
            (select coalesce(jsonb_agg(jsonb_build_object('attempt', l.attempt, 'worker', l.worker_id, 'status', l.status)
              order by l.attempt), '[]') from muster.late_results l where l.job_id = o.id) as late
          from muster.jobs o left join muster_private.test_ranks k on k.job_id = o.id) j) as jobs,
        (select jsonb_agg(to_jsonb(w) order by w.id) from (
          select d.id, d.slots, d.status, d.listening, d.deaf, d.drain_requested_at is not null as "drainRequested",
            ${seconds("d.last_assigned_at", this.#sql)} as "lastAssigned",
            case when isfinite(h.deadline_at) then ${
      seconds("h.deadline_at", this.#sql)
    } end as "leaseUntil", h.wake_nonce as nonce,
            ${seconds("h.wake_sent_at", this.#sql)} as "wakeSent",
            ${seconds("h.wake_heard_at", this.#sql)} as "wakeHeard"
          from muster.worker_devices d join muster.worker_heartbeats h on h.worker_id = d.id) w) as workers`;
    const { now, lastTick, wasLate, jobs, workers } = row as unknown as State;
    const index = new Map(this.#workers.map(({ id }, index) => [id, index]));
    for (const job of jobs) {
      job.worker = job.worker === null ? null : index.get(String(job.worker))!;
      for (const late of job.late) late.worker = index.get(String(late.worker))!;
    }
    return { now, lastTick, wasLate, jobs, workers };
  }

  get sql(): postgres.Sql {
    return this.#sql;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { sql } of this.#backends) sql.release();
    await this.#sql.end({ timeout: 5 });
    await this.#db[Symbol.asyncDispose]();
  }

  async #begin(index: number, { actor, name, args }: Request, commits: boolean): Promise<SqlAnswer> {
    const { sql } = this.#backends[index]!;
    // Sent together: what is measured here is the database, not the way to it.
    const sent = [
      sql`begin`,
      this.#db.callIn(sql as unknown as postgres.Sql, actor, name, args),
    ] as const;
    const [, answer] = await Promise.all(sent).catch((error) => {
      if (error.code !== "MU030") throw error;
      return [null, { refused: error.code }];
    });
    if (answer?.refused) await sql`rollback`;
    else if (commits) await sql`commit`;
    return answer;
  }

  /** Whether the backend was seen waiting before it was done. */
  async #waits(index: number, isDone: () => boolean): Promise<boolean> {
    const { pid } = this.#backends[index]!;
    while (!isDone()) {
      const [row] = await this.#sql`select cardinality(pg_blocking_pids(${pid})) > 0 as waits`;
      if (row!.waits) return true;
    }
    return false;
  }

  #request(call: Call, now: number): Request {
    const operator = (name: string, worker: number) => ({
      actor: service,
      name,
      args: { caller: this.#tenant.caller, worker_id: this.#workers[worker]!.id },
    });
    const { caller } = this.#tenant;
    switch (call.kind) {
      case "submit":
        return {
          actor: service,
          name: "submit_jobs",
          args: { caller, jobs: call.jobs.map((job) => ({ ...toArgs(job, now), ...this.#afterOf(job) })) },
        };
      case "cancel":
        return {
          actor: service,
          name: "cancel_jobs",
          args: { caller, job_ids: call.jobs.map((name) => this.#ids.get(name)) },
        };
      case "drain":
        return operator("drain_worker", call.worker);
      case "resume":
        return operator("resume_worker", call.worker);
      case "tick":
        return { actor: service, name: "tick", args: {} };
    }
    const { actor } = this.#workers[call.worker]!;
    switch (call.kind) {
      case "claim":
        return { actor, name: "claim_jobs", args: { want: call.want } };
      case "heartbeat":
        return {
          actor,
          name: "heartbeat",
          args: {
            running: this.#refs(call.running),
            want: call.want,
            wake_nonce: call.nonce,
            listening: call.listening,
            draining: call.draining,
          },
        };
      case "complete":
        return {
          actor,
          name: "complete_jobs",
          args: {
            want: call.want,
            results: call.results.map(({ job, attempt, status, retryable }) => ({
              ...this.#ref({ job, attempt }),
              status,
              ...(status === "succeeded"
                ? { result: attempt }
                : { error: { code: failureCode(retryable), message: "It broke", retryable } }),
            })),
          },
        };
      case "events":
        return {
          actor,
          name: "report_events",
          args: {
            events: call.attempts.map((attempt) => ({
              ...this.#ref(attempt),
              number: ++this.#events,
              kind: "log",
              data: { text: "said" },
            })),
          },
        };
      case "hello":
        return {
          actor,
          name: "hello",
          args: { worker: { listening: call.listening }, running: this.#refs(call.running) },
        };
      case "goodbye":
        return { actor, name: "goodbye", args: {} };
    }
  }

  #afterOf({ after, afterAny }: JobSpec): Args {
    if (after.length === 0) return {};
    const names = after.map((parent) => typeof parent === "number" ? `#${parent}` : this.#ids.get(parent));
    return { after: names, after_policy: afterAny ? "ended" : "succeeded" };
  }

  #read(call: Call, answer: SqlAnswer): Answer {
    if (answer?.refused) return answer;
    const names = new Map([...this.#ids].map(([name, id]) => [id, name]));
    const attempt = ({ job_id, attempt, ...rest }: SqlAnswer) => ({ job: names.get(job_id)!, attempt, ...rest });
    const given = (jobs: SqlAnswer[]) => jobs.map(({ payload, attempt }) => ({ job: payload.name, attempt }));
    switch (call.kind) {
      case "submit":
        for (const { job } of answer.jobs) this.#ids.set(job.payload.name, job.id);
        return {
          jobs: answer.jobs.map(({ job, created }: SqlAnswer) => ({
            name: job.payload.name,
            created,
            status: job.status,
          })),
        };
      case "cancel":
        return { jobs: answer.jobs.map(({ payload, status }: SqlAnswer) => ({ name: payload.name, status })) };
      case "claim":
        return { jobs: given(answer.jobs), again: answer.again };
      case "heartbeat":
        return {
          resync: answer.resync,
          deaf: answer.deaf,
          next: answer.next_seconds,
          stop: sorted(answer.stop.map(attempt)),
          jobs: given(answer.jobs),
          commands: answer.commands,
        };
      case "complete":
        return { outcomes: answer.outcomes.map((o: SqlAnswer) => o.outcome), jobs: given(answer.jobs) };
      case "events":
        return { accepted: answer.accepted, stale: sorted(answer.stale.map(attempt)) };
      case "hello":
        return { status: answer.status, stop: sorted(answer.stop.map(attempt)), jobs: given(answer.jobs) };
      case "drain":
      case "resume":
        return { status: answer.status };
      default:
        return answer;
    }
  }

  #refs(attempts: readonly Attempt[]): Args[] {
    return attempts.map((attempt) => this.#ref(attempt));
  }

  #ref({ job, attempt }: Attempt): Args {
    return { job_id: this.#ids.get(job), attempt };
  }
}

type Request = { readonly actor: Actor; readonly name: string; readonly args: Args };

function toArgs(job: Extract<Call, { kind: "submit" }>["jobs"][number], now: number): Args {
  return {
    type: "test",
    payload: { name: job.name },
    requires: capabilities[job.kind],
    priority: job.priority,
    max_attempts: job.maxAttempts,
    attempt_timeout_seconds: job.attemptSeconds,
    retry_base_seconds: retryBase,
    ...(job.lane === null
      ? {}
      : { concurrency_key: job.lane, concurrency_limit: laneLimits[job.lane], concurrency_policy: job.policy }),
    ...(job.idempotencyKey === null ? {} : { idempotency_key: job.idempotencyKey }),
    ...(job.totalSeconds === null ? {} : { timeout_seconds: job.totalSeconds }),
    ...(job.delaySeconds === 0
      ? {}
      : { run_at: new Date(Date.parse(start) + (now + job.delaySeconds) * 1000).toISOString() }),
  };
}

function seconds(expression: string, sql: postgres.Sql) {
  return sql.unsafe(`extract(epoch from ${expression} - '${start}'::timestamptz)::float8`);
}

/** Keeps what rank and priority each job had in the queue last: with a job that is taken at once they are gone. */
async function noteRanks(db: TestDatabase): Promise<void> {
  await db.sql.unsafe(`
    create table muster_private.test_ranks (job_id uuid primary key, rank bigint not null, priority smallint not null);
    grant select, insert, update on muster_private.test_ranks to public;
    create function muster_private.test_note_rank() returns trigger language plpgsql as $$
    begin
      insert into muster_private.test_ranks values (new.job_id, new.rank, new.priority)
      on conflict (job_id) do update set rank = excluded.rank, priority = excluded.priority;
      return null;
    end $$;
    create trigger test_note_rank after insert or update on muster_private.ready_jobs
      for each row execute function muster_private.test_note_rank();
  `);
}
