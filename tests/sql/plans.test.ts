import assert from "node:assert/strict";
import postgres from "postgres";
import {
  clientOf,
  createTenant,
  createWorker,
  failed,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
} from "../support/actors.ts";
import { type Actor, type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { placeJobs } from "../support/places.ts";

const backlog = 100_000;

/** A scan of a plan: what it read, by which index, and how many rows it looked at. */
type Scan = { node: string; table: string; index: string | undefined; rows: number; query: string };

Deno.test("what a call costs does not depend on how much others have queued, nor on how much has finished", async (t) => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 256 });
  const [job] = await submit(db, tenant, ...Array.from({ length: 60 }, () => ({})));
  await worker.claim(5);
  const session = await Session.open(db);
  try {
    const before = await measureAll(session, tenant, worker, job);
    await pileUp(db, tenant);
    for (const mode of ["at first", "on a connection long in use"] as const) {
      await session.set("plan_cache_mode", mode === "at first" ? "force_custom_plan" : "auto");
      // After five runs Postgres may settle for a plan that does not know the arguments.
      for (let n = 0; mode !== "at first" && n < 3; n++) await measureAll(session, tenant, worker, job);

      await t.step(`${mode}: claim_jobs() finds the head of each class by ready_jobs_claimable_idx`, async () => {
        const scans = await session.scans(worker.actor, "claim_jobs", { want: 3 });
        const heads = scans.filter((scan) =>
          scan.table === "ready_jobs" && /order by r\.priority desc, r\.rank, r\.position/.test(scan.query)
        );
        assert.ok(heads.length > 0);
        const byHead = heads.filter((scan) => scan.index === "ready_jobs_claimable_idx");
        assert.ok(byHead.length > 0, JSON.stringify(heads, null, 2));
        for (const scan of heads) {
          assert.match(scan.index ?? "none", /^ready_jobs_(claimable_idx|targeted_idx|pkey)$/, JSON.stringify(scan));
        }
      });

      await t.step(
        `${mode}: complete_jobs(), heartbeat() and goodbye() find what a worker holds by an index`,
        async () => {
          for (const call of calls(tenant, worker, job)) {
            if (!["complete_jobs", "heartbeat", "goodbye"].includes(call.name)) continue;
            const scans = await session.scans(call.actor, call.name, call.args);
            const used = new Set(scans.filter((scan) => scan.table === "held_jobs").map((scan) => scan.index));
            assert.ok(used.size > 0, `${call.title} looks at held_jobs`);
            for (const index of used) {
              assert.match(index ?? "none", /^held_jobs_(pkey|of_worker_idx|pushed_idx|overdue_idx)$/, call.title);
            }
          }
        },
      );

      await t.step(`${mode}: list_jobs() reads a page by jobs_newest_idx`, async () => {
        const page = await session.call(service, "list_jobs", { caller: tenant.caller, page_size: 20 });
        for (const cursor of [null, page.next_cursor]) {
          const scans = await session.scans(service, "list_jobs", { caller: tenant.caller, page_size: 20, cursor });
          const pages = scans.filter((scan) => scan.table === "jobs" && /order by j\.created_at desc/.test(scan.query));
          assert.deepEqual(pages.map((scan) => scan.index), ["jobs_newest_idx"]);
          assert.ok(pages[0]!.rows <= 21, `a page of 20 looks at ${pages[0]!.rows} jobs`);
        }
      });

      await t.step(`${mode}: list_jobs() looks at 10,000 jobs at most, whatever it is to find`, async () => {
        const found = [{ status: ["assigned"] }, { idempotency_key: "x" }, { parent_id: job.id }];
        const looked = [{ status: ["failed"] }, { type: "rare" }, { worker_id: worker.id }, { correlation_id: "x" }];
        for (const [most, list] of [[2_000, found], [10_000, looked]] as const) {
          for (const filters of list) {
            const scans = await session.scans(service, "list_jobs", { caller: tenant.caller, filters });
            for (const scan of scans.filter(({ table }) => table === "jobs")) {
              assert.ok(
                scan.rows <= most,
                `${JSON.stringify(filters)}: ${scan.node} looks at ${scan.rows} jobs: ${scan.query}`,
              );
            }
          }
        }
      });

      await t.step(`${mode}: tick() finds what is due, overdue and expired by the indexes made for that`, async () => {
        const scans = await session.scans(service, "tick");
        const used = new Set(scans.map((scan) => scan.index));
        for (const index of ["scheduled_jobs_due_idx", "job_deadlines_due_idx", "held_jobs_overdue_idx"]) {
          assert.ok(used.has(index), `tick() uses ${index}, not only ${[...used].join(", ")}`);
        }
      });

      await t.step(
        `${mode}: get_load() counts queued jobs by ready_jobs_claimable_idx, and stops at 10,000`,
        async () => {
          for (const caller of [tenant.caller, { kind: "service" }]) {
            const scans = await session.scans(service, "get_load", { caller });
            const jobs = scans.filter((scan) => scan.table === "ready_jobs" && scan.rows > 0);
            assert.deepEqual(jobs.map(({ index, rows }) => [index, rows]), [["ready_jobs_claimable_idx", 10_000]]);
          }
        },
      );

      for (const call of calls(tenant, worker, job)) {
        await t.step(`${mode}: ${call.title} looks at few rows of large tables`, async () => {
          const scans = await session.scans(call.actor, call.name, call.args);
          for (const scan of scans.filter(({ table }) => /^(?!worker_).*jobs$|^job_/.test(table))) {
            assert.ok(scan.rows <= 2_000, `${scan.node} looks at ${scan.rows} rows of ${scan.table}: ${scan.query}`);
          }
        });

        await t.step(`${mode}: ${call.title} touches as many blocks as without the backlog`, async () => {
          const after = await session.buffers(call.actor, call.name, call.args);
          const ratio = after / before[call.title]!;
          // An index of 200,000 entries is a level or two deeper than one of 60.
          assert.ok(ratio <= 2.5, `${before[call.title]} blocks became ${after}: ${ratio.toFixed(1)} times as many`);
        });
      }
    }
  } finally {
    await session.close();
  }
});

Deno.test("plans that were made while nothing was queued serve a long queue as well", async (t) => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 256 });
  const [job] = await submit(db, tenant, {});
  await worker.complete((await worker.claim()).map((attempt) => succeeded(attempt)));
  await finishedJobs(db, job, 20_000);
  // Now it is known that these tables are empty, and nothing is cheaper to read whole.
  await db.sql`vacuum analyze`;
  const session = await Session.open(db);
  try {
    const ofWorker = calls(tenant, worker, job).filter(({ actor }) => actor === worker.actor);
    for (const call of ofWorker) await session.call(call.actor, call.name, call.args);
    await pileUp(db, tenant, { analyze: false });
    for (const call of ofWorker) {
      await t.step(call.title, async () => {
        for (const scan of await session.scans(call.actor, call.name, call.args)) {
          if (!/jobs$|^job_/.test(scan.table)) continue;
          assert.ok(scan.rows <= 2_000, `${scan.node} looks at ${scan.rows} rows of ${scan.table}: ${scan.query}`);
        }
      });
    }
  } finally {
    await session.close();
  }
});

Deno.test("no index on jobs and workers names what changes while a job lives: each update stays within its page", async () => {
  await using db = await TestDatabase.create();
  const named = await db.sql`
    select indexdef from pg_indexes
    where schemaname = 'muster' and tablename = 'worker_devices' and indexdef ~ 'held_|last_assigned_at'`;
  assert.deepEqual([...named], []);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, { retry_base_seconds: 0 });
  await db.sql.begin(async (tx) => {
    const call = (name: string, args: Args) => db.callIn(tx as unknown as postgres.Sql, worker.actor, name, args);
    const { jobs: [first] } = await call("claim_jobs", { want: 1 });
    const events = [{ job_id: first.job_id, attempt: 1, number: 1, kind: "progress", data: { fraction: 0.5 } }];
    await call("report_events", { events });
    await call("complete_jobs", { results: [failed(first)], want: 1 });
    await call("complete_jobs", { results: [succeeded({ ...first, attempt: 2 })] });
    const [updates] = await tx`
      select pg_stat_get_xact_tuples_updated('muster.jobs'::regclass)::integer as updated,
        pg_stat_get_xact_tuples_hot_updated('muster.jobs'::regclass)::integer as hot,
        (select status from muster.jobs)`;
    assert.deepEqual({ ...updates }, { updated: 7, hot: 7, status: "succeeded" });
  });
});

Deno.test("calls of workers look at few jobs of a table of medium size, too", async (t) => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 20 });
  const [job] = await submit(db, tenant, ...Array.from({ length: 10 }, () => ({})));
  await worker.claim(5);
  await finishedJobs(db, job, 20_000);
  await db.sql`vacuum analyze`;
  const session = await Session.open(db);
  try {
    for (const call of calls(tenant, worker, job).filter(({ actor }) => actor === worker.actor)) {
      await t.step(call.title, async () => {
        const scans = (await session.scans(call.actor, call.name, call.args)).filter(({ table }) => table === "jobs");
        for (const scan of scans) {
          assert.ok(scan.rows <= 2_000, `${scan.node} looks at ${scan.rows} jobs: ${scan.query}`);
        }
      });
    }
  } finally {
    await session.close();
  }
});

Deno.test("tick() finds what retention deletes by jobs_newest_idx, and looks at no more than it may delete", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [job] = await submit(db, tenant, {});
  await finishedJobs(db, job, 20_000);
  await db.sql`vacuum analyze`;
  await db.advance(31 * 24 * 3600);
  const session = await Session.open(db);
  try {
    const scans = (await session.scans(service, "tick")).filter(({ table }) => table === "jobs");
    const walks = scans.filter(({ query }) => /order by j\.created_at, j\.id limit v_most/.test(query));
    assert.deepEqual(walks.map(({ index, rows }) => [index, rows]), [["jobs_newest_idx", 1_000]]);
    for (const scan of scans) {
      assert.ok(scan.rows <= 1_000, `${scan.node} looks at ${scan.rows} jobs: ${scan.query}`);
    }
  } finally {
    await session.close();
  }
});

Deno.test("what an app reads of one job by its own token does not depend on how many it had", async (t) => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  await worker.complete([failed(held!)]);
  await finishedJobs(db, job, 20_000);
  await db.sql`
    insert into muster.stored_events (job_id, sequence, tenant_id, attempt, kind, data, created_at)
    select j.id, 1, j.tenant_id, 1, 'status', '{}', j.created_at from muster.jobs j on conflict do nothing`;
  await db.sql`
    insert into muster.late_results (job_id, attempt, tenant_id, worker_id, status, received_at)
    select j.id, 1, j.tenant_id, ${worker.id}, 'failed', j.created_at from muster.jobs j on conflict do nothing`;
  await db.sql`vacuum analyze`;
  const session = await Session.open(db);
  try {
    for (const table of ["job_events", "stored_events", "late_results"]) {
      await t.step(table, async () => {
        const client = clientOf(tenant.id, tenant.executorId);
        const scans = await session.scansOfQuery(client, `select * from muster.${table} where job_id = '${job.id}'`);
        assert.ok(scans.some((scan) => scan.table !== "jobs" && scan.rows > 0), "it sees something");
        for (const scan of scans) {
          assert.ok(scan.rows <= 100, `${scan.node} looks at ${scan.rows} rows of ${scan.table}: ${scan.query}`);
        }
      });
    }
  } finally {
    await session.close();
  }
});

Deno.test("what a push costs does not depend on the size of the fleet", async (t) => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { capabilities: ["a"], slots: 2, listening: true });
  // A backlog that no idle worker can serve.
  await createWorker(db, tenant, { capabilities: ["b"], slots: 1, listening: true });
  await submit(db, tenant, ...Array.from({ length: 30 }, () => ({ requires: ["b"] })));
  await submit(db, tenant, { requires: ["a"] });
  // So few of the other kind that asking them one by one is clearly cheaper than reading the fleet, also by the costs of
  // Postgres 15.
  await db.sql`
    with clones as (
      insert into muster.worker_devices
        (tenant_id, name, device_fingerprint, public_jwk, capabilities, slots, held_count, status, listening)
      select w.tenant_id, w.name, w.id || '-' || i, w.public_jwk, w.capabilities, w.slots, w.held_count, w.status, true
      from muster.worker_devices w cross join generate_series(1, case when w.id = ${worker.id} then 5000 else 40 end) i
      returning *
    )
    insert into muster.worker_classes (worker_id, class_id, tenant_id)
    select w.id, c.id, w.tenant_id from clones w join muster.job_classes c on c.requires <@ w.capabilities`;
  await db.sql`vacuum analyze`;
  const session = await Session.open(db);
  try {
    const pushes = {
      "submit_jobs() of one to thousands of idle workers": [{ type: "test", requires: ["a"] }],
      "submit_jobs() of one for a kind of worker that is full": [{ type: "test", requires: ["b"] }],
    };
    for (const [title, jobs] of Object.entries(pushes)) {
      await t.step(title, async () => {
        for (const scan of await session.scans(service, "submit_jobs", { caller: tenant.caller, jobs })) {
          if (!/^worker_/.test(scan.table)) continue;
          assert.ok(scan.rows <= 500, `${scan.node} looks at ${scan.rows} rows of ${scan.table}: ${scan.query}`);
        }
      });
    }
    await t.step("tick() looks at the whole fleet once, to count it", async () => {
      const scans = await session.scans(service, "tick");
      const large = scans.filter(({ table, rows }) => /^worker_/.test(table) && rows > 500);
      assert.deepEqual(
        large.map(({ query }) => /as beating, count/.test(query)),
        [true],
        JSON.stringify(large, null, 2),
      );
    });
  } finally {
    await session.close();
  }
});

async function finishedJobs(db: TestDatabase, job: Answer, count: number): Promise<void> {
  await db.sql`
    insert into muster.jobs (tenant_id, executor_id, type, class_id, status, run_at, created_at, updated_at, finished_at)
    select tenant_id, executor_id, 'test', class_id, 'succeeded', run_at, created_at, updated_at, updated_at
    from muster.jobs cross join generate_series(1, ${count}::integer) where id = ${job.id}`;
}

type Call = { title: string; actor: Actor; name: string; args: Args };

function calls(tenant: TestTenant, worker: TestWorker, job: Answer): Call[] {
  const caller = tenant.caller;
  const attempt = { job_id: job.id, attempt: 1 };
  return [
    { title: "submit_jobs() of one", actor: service, name: "submit_jobs", args: { caller, jobs: [{ type: "test" }] } },
    {
      title: "submit_jobs() of 100 with idempotency keys",
      actor: service,
      name: "submit_jobs",
      args: { caller, jobs: Array.from({ length: 100 }, (_, n) => ({ type: "test", idempotency_key: `new-${n}` })) },
    },
    { title: "get_job()", actor: service, name: "get_job", args: { caller, job_id: job.id } },
    { title: "list_jobs()", actor: service, name: "list_jobs", args: { caller, page_size: 20 } },
    { title: "list_job_events()", actor: service, name: "list_job_events", args: { caller, job_id: job.id } },
    { title: "cancel_jobs()", actor: service, name: "cancel_jobs", args: { caller, job_ids: [job.id] } },
    { title: "claim_jobs()", actor: worker.actor, name: "claim_jobs", args: { want: 10 } },
    {
      title: "complete_jobs()",
      actor: worker.actor,
      name: "complete_jobs",
      args: { results: [{ ...attempt, status: "succeeded" }], want: 1 },
    },
    { title: "heartbeat()", actor: worker.actor, name: "heartbeat", args: { running: [attempt] } },
    {
      title: "report_events()",
      actor: worker.actor,
      name: "report_events",
      args: { events: [{ ...attempt, number: 1, kind: "progress", data: { fraction: 0.5 } }] },
    },
    { title: "hello()", actor: worker.actor, name: "hello", args: { worker: { slots: 256 }, running: [attempt] } },
    { title: "goodbye()", actor: worker.actor, name: "goodbye", args: {} },
    { title: "get_worker()", actor: service, name: "get_worker", args: { caller, worker_id: worker.id } },
    { title: "tick()", actor: service, name: "tick", args: {} },
  ];
}

async function measureAll(
  session: Session,
  tenant: TestTenant,
  worker: TestWorker,
  job: Answer,
): Promise<Record<string, number>> {
  const blocks: Record<string, number> = {};
  for (const call of calls(tenant, worker, job)) {
    blocks[call.title] = await session.buffers(call.actor, call.name, call.args);
  }
  return blocks;
}

/**
 * Jobs of ten classes that no worker serves: queued, blocked behind one key, scheduled for tomorrow; and finished ones
 * of the class that the worker does serve, with their events; and 10,000 that a thousand other workers hold.
 */
async function pileUp(db: TestDatabase, tenant: TestTenant, { analyze = true } = {}): Promise<void> {
  const others = await submit(db, tenant, ...Array.from({ length: 10 }, (_, n) => ({ requires: [`other/${n}`] })));
  const ids = others.map((other) => other.id);
  await db.sql.begin(async (tx) => {
    // Rows made this way need no triggers; it is twice as fast.
    await tx`set local session_replication_role = replica`;
    await tx`
    with classes as (
      select class_id, requires, row_number() over () - 1 as n from muster.jobs where id in ${tx(ids)}
    )
    insert into muster.jobs (tenant_id, executor_id, type, class_id, requires, status, run_at, created_at, updated_at, queued_at)
    select ${tenant.id}, ${tenant.executorId}, 'test', c.class_id, c.requires, 'queued',
      now.at, now.at - make_interval(secs => i), now.at, now.at
    from generate_series(1, ${backlog}) i join classes c on c.n = i % 10 cross join muster_private.test_clock now`;
    await tx`
    insert into muster.jobs (tenant_id, executor_id, type, class_id, status, run_at, created_at, updated_at, finished_at, attempts, result)
    select ${tenant.id}, ${tenant.executorId}, 'test', (select class_id from muster.jobs where requires = '{}' limit 1),
      'succeeded', now.at, now.at - make_interval(secs => i), now.at, now.at, 1, '{}'
    from generate_series(1, ${backlog}) i cross join muster_private.test_clock now`;
    await tx`
    insert into muster.jobs
      (tenant_id, executor_id, type, class_id, status, concurrency_key, waiting_for, run_at, expires_at, created_at,
        updated_at)
    select ${tenant.id}, ${tenant.executorId}, 'test', (select class_id from muster.jobs where requires = '{other/1}' limit 1),
      kind.status::muster.job_status, kind.key, kind.reason, now.at + interval '1 day', now.at + interval '2 days', now.at - make_interval(secs => i),
      now.at
    from generate_series(1, 10000) i cross join muster_private.test_clock now
    cross join (values ('blocked', 'one at a time', 'concurrency'), ('scheduled', null, null)) kind (status, key, reason)`;
    await tx`
    insert into muster.jobs (tenant_id, executor_id, worker_id, type, class_id, status, run_at, created_at, updated_at, attempts, attempt_deadline_at)
    select ${tenant.id}, ${tenant.executorId}, md5((i / 10)::text)::uuid, 'test', (select class_id from muster.jobs where requires = '{}' limit 1),
      'running', now.at, now.at - make_interval(secs => i), now.at, 1, now.at + interval '1 hour'
    from generate_series(1, 10000) i cross join muster_private.test_clock now`;
    await tx`insert into muster.concurrency_keys (tenant_id, key) values (${tenant.id}, 'one at a time')`;
    await tx`
    update muster.jobs set status = 'queued', waiting_for = null
    where id = (select id from muster.jobs where status = 'blocked' limit 1)`;
    await tx`
    insert into muster.stored_events (job_id, sequence, tenant_id, attempt, kind, data, created_at)
    select j.id, 1, j.tenant_id, 1, 'status', '{}', j.created_at from muster.jobs j where j.status = 'succeeded'
    on conflict do nothing`;
    await placeJobs(tx);
  });
  if (analyze) await db.sql`vacuum analyze`;
}

/** A connection that tells the plans of whatever a call runs inside. Each call is undone. */
class Session {
  readonly #sql: postgres.Sql;
  readonly #notices: string[];

  private constructor(sql: postgres.Sql, notices: string[]) {
    this.#sql = sql;
    this.#notices = notices;
  }

  static async open(db: TestDatabase): Promise<Session> {
    const notices: string[] = [];
    const sql = postgres(db.url, { max: 1, onnotice: (notice) => notices.push(String(notice.message)) });
    await sql.unsafe(`
      load 'auto_explain';
      set auto_explain.log_analyze = on; set auto_explain.log_timing = off; set auto_explain.log_format = json;
      set auto_explain.log_nested_statements = on; set client_min_messages = log; set log_min_messages = panic;
      set jit = off`);
    return new Session(sql, notices);
  }

  close(): Promise<void> {
    return this.#sql.end();
  }

  async set(name: string, value: string): Promise<void> {
    await this.#sql`select set_config(${name}, ${value}, false)`;
  }

  async call(actor: Actor, name: string, args: Args): Promise<Answer> {
    return (await this.#run(actor, `select ${invocation(name, args)} as answer`))[0].answer;
  }

  /** Blocks that a call touches, counted in its second run: the first fills the caches of a connection. */
  async buffers(actor: Actor, name: string, args: Args): Promise<number> {
    const statement = `explain (analyze, buffers, format json) select ${invocation(name, args)}`;
    await this.#run(actor, statement);
    const [row] = await this.#run(actor, statement);
    const { Plan: plan } = row["QUERY PLAN"][0];
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"];
  }

  /** The scans of every statement inside of a call. */
  scans(actor: Actor, name: string, args: Args = {}): Promise<Scan[]> {
    return this.scansOfQuery(actor, `select ${invocation(name, args)}`);
  }

  async scansOfQuery(actor: Actor, text: string): Promise<Scan[]> {
    await this.set("auto_explain.log_min_duration", "0");
    this.#notices.length = 0;
    await this.#run(actor, text);
    await this.set("auto_explain.log_min_duration", "-1");
    return this.#notices.filter((notice) => notice.startsWith("duration:"))
      .flatMap((notice) => {
        const { "Query Text": query, Plan: plan } = JSON.parse(notice.slice(notice.indexOf("{")));
        return scansOf(plan, query);
      });
  }

  async #run(actor: Actor, statement: string): Promise<Answer> {
    const undo = new Error("Undo");
    let rows: Answer;
    await this.#sql.begin(async (tx) => {
      await tx`select set_config('request.jwt.claims', ${JSON.stringify(actor.claims)}, true),
        set_config('role', ${actor.role}, true)`;
      rows = await tx.unsafe(statement);
      throw undo;
    }).catch((error) => {
      if (error !== undo) throw error;
    });
    return rows;
  }
}

function invocation(name: string, args: Args): string {
  const literals = Object.entries(args).map(([key, value]) => {
    if (value === null || typeof value === "number") return `${key} => ${value}`;
    const isIds = Array.isArray(value) && key === "job_ids";
    const text = isIds ? `{${value.join(",")}}` : typeof value === "string" ? value : JSON.stringify(value);
    return `${key} => '${text.replaceAll("'", "''")}'`;
  });
  return `muster.${name}(${literals.join(", ")})`;
}

function scansOf(plan: Answer, query: string): Scan[] {
  const inner = (plan.Plans ?? []).flatMap((child: Answer) => scansOf(child, query));
  const isBitmap = plan["Node Type"] === "Bitmap Heap Scan";
  if (plan["Relation Name"] === undefined || plan["Node Type"] === "ModifyTable") return inner;
  const rows =
    (plan["Actual Rows"] + (plan["Rows Removed by Filter"] ?? 0) + (plan["Rows Removed by Index Recheck"] ?? 0)) *
    plan["Actual Loops"];
  const index = plan["Index Name"] ?? (isBitmap ? bitmapIndex(plan) : undefined);
  return [{ node: plan["Node Type"], table: plan["Relation Name"], index, rows, query }, ...inner];
}

function bitmapIndex(plan: Answer): string | undefined {
  return plan["Index Name"] ??
    (plan.Plans ?? []).map(bitmapIndex).find((name: string | undefined) => name !== undefined);
}
