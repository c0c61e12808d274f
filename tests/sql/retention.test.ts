import assert from "node:assert/strict";
import {
  auditEntries,
  createInput,
  createTenant,
  createWorker,
  failed,
  fileOf,
  getJob,
  refused,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  tick,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

const day = 24 * 3600;

function keep(db: TestDatabase, tenant: TestTenant, days: number | null): Promise<Answer> {
  const caller = { kind: "service", tenant_id: tenant.id };
  return db.call(service, "set_limits", { caller, limits: { retention_days: days } });
}

/** Moves the clock, an hour more than the days, and ticks until retention has nothing left to do. */
async function pass(db: TestDatabase, days: number): Promise<void> {
  await db.advance(days * day + 3600);
  for (let n = 0; n < 5; n += 1) await tick(db);
}

async function present(db: TestDatabase, jobs: { id: string }[]): Promise<boolean[]> {
  const rows = await db.sql`select id from muster.jobs`;
  const ids = new Set(rows.map(({ id }) => id));
  return jobs.map(({ id }) => ids.has(id));
}

async function run(db: TestDatabase, tenant: TestTenant, worker: TestWorker, job: Args = {}): Promise<Answer> {
  const [submitted] = await submit(db, tenant, job);
  await worker.hello();
  const held = await worker.claim(1);
  assert.equal(held[0]?.job_id, submitted.id);
  await worker.complete([succeeded(held[0]!)]);
  return submitted;
}

Deno.test("tick() deletes jobs that ended longer ago than 30 days, and no others", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const old = await run(db, tenant, worker, { idempotency_key: "once" });
  const [cancelled] = await submit(db, tenant, {});
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [cancelled.id] });
  const [waiting] = await submit(db, tenant, { requires: ["nobody/has"] });
  await pass(db, 29);
  const recent = await run(db, tenant, worker);
  assert.deepEqual(await present(db, [old, cancelled, waiting, recent]), [true, true, true, true]);
  await pass(db, 1);
  assert.deepEqual(await present(db, [old, cancelled, waiting, recent]), [false, false, true, true]);
  await refused(getJob(db, tenant, old.id), "MU003");
  // As long as a job is kept, so long its key is known.
  const [again] = await submit(db, tenant, { idempotency_key: "once" });
  assert.notEqual(again.id, old.id);
});

Deno.test("retention counts from a job's end, whatever waits or ended before it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await keep(db, tenant, 10);
  const worker = await createWorker(db, tenant);
  const [first] = await submit(db, tenant, { requires: ["nobody/has"] });
  await pass(db, 8);
  const second = await run(db, tenant, worker);
  await pass(db, 3);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [first.id] });
  await pass(db, 7);
  // The second was handed in later and ended before.
  assert.deepEqual(await present(db, [first, second]), [true, false]);
  await pass(db, 2);
  assert.deepEqual(await present(db, [first, second]), [true, false]);
  await pass(db, 1);
  assert.deepEqual(await present(db, [first, second]), [false, false]);
  assert.equal((await db.sql`select from muster_private.kept_jobs`).length, 0);
});

Deno.test("a tenant's own retention holds for its jobs alone, and a changed one soon", async () => {
  await using db = await TestDatabase.create();
  const [brief, usual] = [await createTenant(db), await createTenant(db)];
  assert.equal((await keep(db, brief, 1)).limits.retention_days, 1);
  const jobs = [];
  for (const tenant of [brief, usual]) {
    const [job] = await submit(db, tenant, {});
    await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
    jobs.push(job);
  }
  await pass(db, 1);
  assert.deepEqual(await present(db, jobs), [false, true]);
  await keep(db, usual, 2);
  await tick(db);
  assert.deepEqual(await present(db, jobs), [false, true]);
  await keep(db, usual, 1);
  await tick(db);
  assert.deepEqual(await present(db, jobs), [false, false]);
  assert.equal((await keep(db, usual, null)).limits.retention_days, 30);
  for (const days of [0, 3651, -1, "7"] as number[]) await refused(keep(db, usual, days), "MU004", String(days));
});

Deno.test("with a job goes all that belongs to it, and what names it says so no longer", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const input = await createInput(db, tenant);
  const [failing] = await submit(db, tenant, { max_attempts: 1, inputs: [input.id] });
  const [held] = await worker.claim();
  await db.call(worker.actor, "report_events", {
    events: [{ ...attemptOf(held), number: 1, kind: "log", data: { line: "x" } }],
  });
  const output = fileOf("result");
  const { id: fileId } = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...output, ...attemptOf(held) },
  });
  await db.call(service, "finish_artifact", {
    artifact_id: fileId,
    size_bytes: output.size_bytes,
    sha256: output.sha256,
  });
  await worker.complete([failed(held!)]);
  await pass(db, 29);
  const { jobs: [{ replayed_as }] } = await db.call(service, "replay_dead_letters", {
    caller: tenant.caller,
    ids: [failing.id],
  });
  const [next] = await submit(db, tenant, { after: [failing.id], after_policy: "ended" });
  const before = await db.call(service, "get_limits", { caller: tenant.caller });
  await pass(db, 1);
  assert.deepEqual(await present(db, [failing, { id: replayed_as }, next]), [false, true, true]);
  const after = await db.call(service, "get_limits", { caller: tenant.caller });
  assert.equal(before.used.artifact_bytes - after.used.artifact_bytes, output.size_bytes);
  for (const table of ["job_events", "dead_letters", "job_inputs", "job_dependencies"]) {
    const rows = await db.sql.unsafe(`select from muster.${table} where job_id = '${failing.id}'`);
    assert.equal(rows.length, 0, table);
  }
  // The app's own file stays; who points at the job goes on doing so.
  assert.deepEqual((await db.sql`select id from muster.artifacts`).map(({ id }) => id), [input.id]);
  assert.equal((await getJob(db, tenant, replayed_as)).retry_of, failing.id);
  assert.deepEqual((await getJob(db, tenant, next.id)).after, [failing.id]);
  await refused(submit(db, tenant, { after: [failing.id] }), "MU003");
});

Deno.test("jobs of a batch stay as long as the batch, and go with it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const { batch, jobs: [one, two] } = await db.call(service, "submit_jobs", {
    caller: tenant.caller,
    jobs: [{ type: "test", priority: 1 }, { type: "test" }],
    batch: {},
  });
  const [first] = await worker.claim();
  await worker.complete([succeeded(first!)]);
  await pass(db, 20);
  await worker.hello();
  const [second] = await worker.claim();
  await worker.complete([succeeded(second!)]);
  await pass(db, 29);
  assert.deepEqual(await present(db, [batch, one.job, two.job]), [true, true, true]);
  assert.equal((await getJob(db, tenant, batch.id)).batch.succeeded, 2);
  await pass(db, 1);
  await pass(db, 1);
  assert.deepEqual(await present(db, [batch, one.job, two.job]), [false, false, false]);
});

Deno.test("a job stays as long as another reads a file of its own", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [maker] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const output = fileOf("result");
  const { id } = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...output, ...attemptOf(held) },
  });
  await db.call(service, "finish_artifact", {
    artifact_id: id,
    size_bytes: output.size_bytes,
    sha256: output.sha256,
  });
  await worker.complete([succeeded(held!)]);
  const [reader] = await submit(db, tenant, { inputs: [id], requires: ["nobody/has"] });
  await pass(db, 40);
  assert.deepEqual(await present(db, [maker, reader]), [true, true]);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [reader.id] });
  await pass(db, 31);
  await pass(db, 1);
  assert.deepEqual(await present(db, [maker, reader]), [false, false]);
});

Deno.test("retention passes by jobs that somebody has in hand, and comes back to them", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, { max_attempts: 1 }, { max_attempts: 1 });
  const held = await worker.claim(2);
  await worker.complete(held.map((attempt) => failed(attempt)));
  await db.advance(31 * day);
  {
    await using other = await db.transaction();
    await other.query("select from muster.dead_letters where job_id = $1 for update", [held[0]!.job_id]);
    await tick(db);
    assert.deepEqual(await present(db, held.map(({ job_id }) => ({ id: job_id }))), [true, false]);
  }
  await db.advance(2 * 3600);
  await tick(db);
  assert.deepEqual(await present(db, held.map(({ job_id }) => ({ id: job_id }))), [false, false]);
});

Deno.test("a late result of a job that is just being deleted waits for nobody, and is answered as stale", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  await db.advance(31 * day);
  await worker.hello();
  await using deleting = await db.transaction();
  await deleting.call(service, "tick");
  const { outcomes } = await worker.complete([succeeded(held!)]);
  assert.deepEqual(outcomes.map(({ outcome }: Answer) => outcome), ["stale"]);
  await deleting.commit();
  assert.deepEqual(await present(db, [job]), [false]);
  assert.equal((await db.sql`select from muster.late_results`).length, 0);
});

Deno.test("a tick deletes a thousand jobs at most, of all tenants in turn, and finds more behind any number that stay", async () => {
  await using db = await TestDatabase.create();
  const [flooding, small] = [await createTenant(db), await createTenant(db)];
  for (const tenant of [flooding, small]) await submit(db, tenant, {});
  await db.sql`
    insert into muster.jobs (tenant_id, type, class_id, status, run_at, created_at, updated_at, finished_at)
    select j.tenant_id, 'test', j.class_id, 'succeeded', j.run_at, j.created_at + make_interval(secs => n), j.updated_at, j.updated_at
    from muster.jobs j cross join generate_series(1, 2500) n where j.tenant_id = ${flooding.id} or n <= 3`;
  // Waiting for longer than anything is kept, and handed in before the rest.
  await db.sql`
    insert into muster.jobs (tenant_id, type, class_id, status, waiting_for, run_at, created_at, updated_at)
    select j.tenant_id, 'test', j.class_id, 'blocked', 'affinity', j.run_at, j.created_at - make_interval(secs => n), j.updated_at
    from muster.jobs j cross join generate_series(1, 1200) n where j.tenant_id = ${flooding.id} and j.status = 'queued'`;
  const ended = async (tenant: TestTenant) => {
    const [row] = await db
      .sql`select count(*)::integer as count from muster.jobs where tenant_id = ${tenant.id} and status = 'succeeded'`;
    return row!.count as number;
  };
  await db.advance(31 * day);
  const counts = [];
  for (let n = 0; n < 6; n += 1) {
    await tick(db);
    counts.push([await ended(flooding), await ended(small)]);
  }
  assert.equal(counts[0]![1], 0, "the small tenant had its turn in the first tick");
  for (let n = 1; n < counts.length; n += 1) assert.ok(counts[n - 1]![0]! - counts[n]![0]! <= 1000);
  while (await ended(flooding) > 0) {
    const before = await ended(flooding);
    await tick(db);
    assert.ok(await ended(flooding) < before, "each tick deletes some");
  }
  const entries = await auditEntries(db, flooding, "jobs.forgotten");
  assert.equal(entries.reduce((sum, { data }) => sum + data.count, 0), 2500);
  assert.deepEqual(entries[0]!.actor, { kind: "system" });
});

Deno.test("of an ephemeral worker nothing is left once its jobs are gone", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { ephemeral: true });
  const job = await run(db, tenant, worker);
  await db.call(worker.actor, "goodbye");
  await pass(db, 29);
  assert.equal((await db.sql`select from muster.worker_devices`).length, 1);
  assert.equal((await getJob(db, tenant, job.id)).worker_id, worker.id);
  // It was forgotten by the ticks of that day.
  await pass(db, 30);
  assert.equal((await db.sql`select from muster.worker_devices`).length, 0);
});

Deno.test("a tenant that is deleted leaves nothing of retention behind", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, tenant, {});
  await pass(db, 40);
  assert.equal((await db.sql`select from muster_private.kept_jobs`).length, 1);
  await db.sql`delete from muster.jobs where tenant_id = ${tenant.id}`;
  assert.equal((await db.sql`select from muster_private.kept_jobs`).length, 0);
});

function attemptOf(attempt: Args | undefined): Args {
  return { job_id: attempt!.job_id, attempt: attempt!.attempt };
}
