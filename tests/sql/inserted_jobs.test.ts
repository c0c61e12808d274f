import assert from "node:assert/strict";
import type postgres from "postgres";
import {
  auditEntries,
  createSecret,
  createTenant,
  createWorker,
  getJob,
  refused,
  sentMessages,
  submit,
  succeeded,
  type TestTenant,
  tick,
} from "../support/actors.ts";
import { type Actor, type Answer, type Args, service, TestDatabase } from "../support/database.ts";

/** Inserts rows with one statement, as the Data API does it, and answers what it returns. */
async function insert(
  db: TestDatabase,
  rows: Args[],
  { actor = service, sql = db.sql, end = "" } = {},
): Promise<Answer[]> {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))].map((name) => `"${name}"`).join(", ");
  const run = async (tx: postgres.Sql) => {
    await tx`select set_config('role', ${actor.role}, true)`;
    const found = await tx.unsafe(
      `insert into muster.jobs (${columns})
       select ${columns} from jsonb_populate_recordset(null::muster.jobs, $1::text::jsonb) ${end} returning *`,
      [JSON.stringify(rows)],
    );
    await tx`select set_config('role', 'none', true)`;
    return [...found];
  };
  return sql === db.sql ? await db.sql.begin((tx) => run(tx as unknown as postgres.Sql)) as Answer[] : await run(sql);
}

async function check(db: TestDatabase): Promise<void> {
  assert.deepEqual([...await db.sql`select muster_private.check_places()`], []);
  assert.deepEqual([...await db.sql`select * from muster_private.commit_inbox`], []);
}

Deno.test("an inserted row becomes the job that a submission would have made", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createSecret(db, tenant, "KEY");
  const later = new Date((await db.now()).getTime() + 60_000).toISOString();
  const inserted = await insert(db, [
    { tenant_id: tenant.id, type: "test" },
    {
      tenant_id: tenant.id,
      executor_id: tenant.executorId,
      type: "test",
      payload: { a: [1, null] },
      requires: ["gpu/cuda", "compute/basic", "gpu/cuda"],
      labels: { site: "lab" },
      priority: 5,
      run_at: later,
      idempotency_key: "k",
      correlation_id: "order 7",
      max_attempts: 2,
      retry_base: "2 seconds",
      retry_cap: "1 minute",
      attempt_timeout: "10 minutes",
      secret_names: ["KEY"],
      notify: true,
    },
  ]);
  const submitted = await submit(db, tenant, {}, {
    payload: { a: [1, null] },
    requires: ["gpu/cuda", "compute/basic", "gpu/cuda"],
    labels: { site: "lab" },
    priority: 5,
    run_at: later,
    idempotency_key: "k2",
    correlation_id: "order 7",
    max_attempts: 2,
    retry_base_seconds: 2,
    retry_cap_seconds: 60,
    attempt_timeout_seconds: 600,
    secrets: ["KEY"],
    notify: true,
  });
  const same = ({ id: _, idempotency_key: _key, executor_id: _executor, ...rest }: Answer) => rest;
  const ids = [...inserted, ...submitted].map(({ id }) => id);
  const jobs = await Promise.all(ids.map((id) => getJob(db, tenant, id)));
  assert.deepEqual(same(jobs[0]), same(jobs[2]));
  assert.deepEqual(same(jobs[1]), same(jobs[3]));
  assert.deepEqual([jobs[0].executor_id, jobs[1].executor_id], [null, tenant.executorId]);
  const rows = await db.sql`
    select retry_base, retry_cap, class_id, rank - position * 1000000 as rank_after, last_sequence from muster.jobs
    where id = any (${ids}) order by position`;
  assert.deepEqual([rows[0], rows[1]], [rows[2], rows[3]]);
  const events = await Promise.all(
    ids.map((job_id) => db.call(service, "list_job_events", { caller: tenant.caller, job_id })),
  );
  assert.deepEqual([events[0].events, events[1].events], [events[2].events, events[3].events]);
  const changes = (await auditEntries(db, tenant, "jobs.changed")).map(({ actor, data }) => [
    actor.kind,
    data.status,
    data.jobs.length,
  ]);
  assert.deepEqual(changes.sort(), [
    ["api_key", "queued", 1],
    ["api_key", "scheduled", 1],
    ["service", "queued", 1],
    ["service", "scheduled", 1],
  ]);
  await check(db);
  await db.advance(61);
  await tick(db);
  assert.equal((await getJob(db, tenant, ids[1])).status, "queued");
  await check(db);
});

Deno.test("inserted jobs are pushed to an idle worker in the same transaction, with one message for the statement", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2, listening: true });
  await db.sql`delete from realtime.messages`;
  const rows = await insert(db, [1, 2, 3].map((n) => ({ tenant_id: tenant.id, type: "test", payload: n })));
  const jobs = await Promise.all(rows.map(({ id }) => getJob(db, tenant, id)));
  assert.deepEqual(jobs.map(({ status }) => status), ["assigned", "assigned", "queued"]);
  assert.deepEqual((await sentMessages(db)).map(({ event }) => event), ["task.assign"]);
  const held = await worker.claim(2);
  await worker.complete(held.map((each) => succeeded(each)), 1);
  assert.equal((await getJob(db, tenant, rows[2].id)).status, "running");
  await check(db);
});

Deno.test("a thousand jobs of several tenants come in with one statement", async () => {
  await using db = await TestDatabase.create();
  const tenants = [await createTenant(db), await createTenant(db)];
  const rows = Array.from({ length: 1000 }, (_, n) => ({
    tenant_id: tenants[n % 2]!.id,
    type: "test",
    requires: [`c${n % 5}`],
    priority: n % 3,
  }));
  assert.equal((await insert(db, rows)).length, 1000);
  const counts = await db
    .sql`select status, count(*)::int as jobs, sum(last_sequence)::int as events from muster.jobs group by 1`;
  assert.deepEqual([...counts], [{ status: "queued", jobs: 1000, events: 1000 }]);
  await check(db);
});

Deno.test("an inserted job waits for its concurrency key", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const rows = await insert(db, [1, 2].map(() => ({ tenant_id: tenant.id, type: "test", concurrency_key: "one" })));
  const jobs = await Promise.all(rows.map(({ id }) => getJob(db, tenant, id)));
  assert.deepEqual(jobs.map(({ status }) => status).sort(), ["blocked", "queued"]);
  const worker = await createWorker(db, tenant);
  const [held] = await worker.claim();
  const { jobs: next } = await worker.complete([succeeded(held!)], 1);
  assert.equal(next.length, 1);
  await check(db);
});

Deno.test("a row whose idempotency key is known is left out, and one that was inserted answers a submission", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const row = { tenant_id: tenant.id, type: "test", idempotency_key: "k" };
  const [first] = await insert(db, [row]);
  assert.deepEqual(await insert(db, [row]), []);
  assert.equal((await insert(db, [row, { ...row, idempotency_key: "other" }, row])).length, 1);
  const [again] = await submit(db, tenant, { idempotency_key: "k" });
  assert.equal(again.id, first.id);
  await check(db);
});

Deno.test("a row that the unique index turns away leaves nothing behind", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [first] = await insert(db, [{ tenant_id: tenant.id, type: "test" }]);
  const rows = [{ id: first.id, tenant_id: tenant.id, type: "test" }, {
    id: crypto.randomUUID(),
    tenant_id: tenant.id,
    type: "test",
  }];
  assert.equal((await insert(db, rows, { end: "on conflict do nothing" })).length, 1);
  assert.equal((await db.sql`select from muster.jobs`).length, 2);
  await check(db);
});

Deno.test("bad rows are refused with the errors of a submission, and none of the statement is stored", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const good = { tenant_id: tenant.id, type: "test" };
  const cases: [what: string, row: Args, code: string][] = [
    ["no tenant", { type: "test" }, "MU003"],
    ["an unknown tenant", { ...good, tenant_id: crypto.randomUUID() }, "MU003"],
    ["no type", { tenant_id: tenant.id }, "MU004"],
    ["a type of spaces", { ...good, type: "  " }, "MU004"],
    ["a payload over the limit", { ...good, payload: "x".repeat(600_000) }, "MU005"],
    ["21 capabilities", { ...good, requires: Array.from({ length: 21 }, (_, n) => `c${n}`) }, "MU015"],
    ["a capability in capitals", { ...good, requires: ["GPU"] }, "MU004"],
    ["labels that are no texts", { ...good, labels: { a: 1 } }, "MU004"],
    ["a priority of 101", { ...good, priority: 101 }, "MU004"],
    ["no attempt at all", { ...good, max_attempts: 0 }, "MU004"],
    ["an attempt of no time", { ...good, attempt_timeout: "0" }, "MU004"],
    ["a pause before the last failure", { ...good, retry_base: "-1 second" }, "MU004"],
    ["a key of 256 characters", { ...good, idempotency_key: "k".repeat(256) }, "MU004"],
    ["an end before the beginning", { ...good, expires_at: "2020-01-01T00:00:00Z" }, "MU004"],
    ["another tenant's executor", { ...good, executor_id: (await createTenant(db)).executorId }, "MU003"],
  ];
  for (const [what, row, code] of cases) await refused(insert(db, [good, row]), code, what);
  await assert.rejects(insert(db, [{ ...good, secret_names: ["NONE"] }]), /NONE/);
  assert.deepEqual([...await db.sql`select * from muster.jobs`], []);
  await check(db);
});

Deno.test("the quota of waiting jobs holds for inserted ones, too", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.call(service, "set_limits", {
    caller: { kind: "service", tenant_id: tenant.id },
    limits: { waiting_jobs: 3 },
  });
  const rows = (count: number) => Array.from({ length: count }, () => ({ tenant_id: tenant.id, type: "test" }));
  await refused(insert(db, rows(4)), "MU019");
  assert.equal((await insert(db, rows(3))).length, 3);
  await refused(insert(db, rows(1)), "MU019");
});

Deno.test("the service role may say what it wants of a job, and nothing of what became of it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const good = { tenant_id: tenant.id, type: "test" };
  for (
    const more of [
      { status: "succeeded" },
      { class_id: 1 },
      { position: 1 },
      { rank: 1 },
      { attempts: 5 },
      { worker_id: crypto.randomUUID() },
      { result: {} },
      { policy: {} },
      { created_at: "2020-01-01T00:00:00Z" },
    ]
  ) {
    await refused(insert(db, [{ ...good, ...more }]), "42501", Object.keys(more)[0]!);
  }
  // Nor may anybody else insert, and the service role neither change nor delete.
  for (const role of ["anon", "authenticated", "muster_client", "muster_worker"]) {
    await refused(insert(db, [good], { actor: { role } as Actor }), "42501", role);
  }
  for (const text of ["update muster.jobs set priority = 1 where true", "delete from muster.jobs where true"]) {
    await refused(
      db.sql.begin(async (tx) => {
        await tx`set local role service_role`;
        await tx.unsafe(text);
      }),
      "42501",
      text,
    );
  }
  // Who owns the table may write any column, and is not believed what a job goes through.
  const [row] = await insert(db, [{
    ...good,
    status: "running",
    attempts: 3,
    result: 1,
    worker_id: crypto.randomUUID(),
  }], {
    actor: { role: "postgres" },
  });
  const job = await getJob(db, tenant, row.id);
  assert.deepEqual([job.status, job.attempts, job.result, job.worker_id], ["queued", 0, null, null]);
  await check(db);
});

Deno.test("a transaction that inserts jobs holds no lock of the scheduler before it commits", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  await submit(db, tenant, {});
  await insertSlowly(db, tenant, async () => {
    const [held] = await worker.claim();
    await worker.complete([succeeded(held!)], 1);
    await worker.heartbeat({ want: 1 });
    await tick(db);
  });
  const [job] = await worker.claim();
  assert.equal(job!.type, "slow");
  await check(db);
});

async function insertSlowly(db: TestDatabase, tenant: TestTenant, meanwhile: () => Promise<void>): Promise<void> {
  await db.sql.begin(async (tx) => {
    await insert(db, [{ tenant_id: tenant.id, type: "slow" }], { sql: tx as unknown as postgres.Sql });
    await meanwhile();
  });
}

Deno.test("jobs inserted by a transaction that is rolled back, or a part of it that is, never were", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const row = { tenant_id: tenant.id, type: "test" };
  await db.sql.begin(async (tx) => {
    await insert(db, [{ ...row, type: "kept" }], { sql: tx as unknown as postgres.Sql });
    await tx.savepoint(async (inner) => {
      await insert(db, [row], { sql: inner as unknown as postgres.Sql });
      throw new Error("Changed my mind");
    }).catch(() => {});
  });
  assert.deepEqual([...await db.sql`select type, status from muster.jobs`], [{ type: "kept", status: "queued" }]);
  await check(db);
});
