import assert from "node:assert/strict";
import {
  auditEntries,
  createMember,
  createTenant,
  createWorker,
  fileOf,
  refused,
  submit,
  succeeded,
  type TestTenant,
  tick,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { placeJobs } from "../support/places.ts";

function setLimits(db: TestDatabase, tenant: TestTenant, limits: Args): Promise<Answer> {
  return db.call(service, "set_limits", { caller: { kind: "service", tenant_id: tenant.id }, limits });
}

function getLimits(db: TestDatabase, tenant: TestTenant): Promise<Answer> {
  return db.call(service, "get_limits", { caller: tenant.caller });
}

/** Jobs as if they had been handed in before, without the time that takes. */
async function fillQueue(db: TestDatabase, tenant: TestTenant, count: number, status = "queued"): Promise<void> {
  const [seed] = await submit(db, tenant, {});
  await db.sql`
    insert into muster.jobs
      (tenant_id, type, status, class_id, run_at, created_at, updated_at, concurrency_key, waiting_for)
    select tenant_id, type, ${status}::muster.job_status, class_id, run_at, created_at, updated_at,
      case when ${status} = 'blocked' then 'k' end, case when ${status} = 'blocked' then 'concurrency' end
    from muster.jobs, generate_series(1, ${count - 1}) where id = ${seed.id}`;
  await db.sql`update muster.jobs set status = ${status}::muster.job_status,
    concurrency_key = case when ${status} = 'blocked' then 'k' end,
    waiting_for = case when ${status} = 'blocked' then 'concurrency' end where id = ${seed.id}`;
  await placeJobs(db.sql);
}

Deno.test("a submission over the quota of waiting jobs is refused whole with quota_exceeded and works later", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await setLimits(db, tenant, { waiting_jobs: 5 });
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, {}, { run_at: "2100-01-01T00:00:00Z" }, { concurrency_key: "k" }, { concurrency_key: "k" });
  const error = await refused(submit(db, tenant, { idempotency_key: "a" }, { idempotency_key: "b" }), "MU019");
  assert.deepEqual(JSON.parse(error.detail), { retry_after_seconds: 5 });
  assert.equal((await db.sql`select from muster.jobs`).length, 4);

  const [known] = await submit(db, tenant, { idempotency_key: "a" });
  await refused(submit(db, tenant, { idempotency_key: "b" }), "MU019");
  // What exists is answered, full or not; beside something new it is not.
  assert.equal((await submit(db, tenant, { idempotency_key: "a" }))[0].id, known.id);
  await refused(submit(db, tenant, { idempotency_key: "a" }, {}), "MU019");

  const [claimed] = await worker.claim();
  await submit(db, tenant, { idempotency_key: "b" });
  await worker.complete([succeeded(claimed!)]);
  await refused(submit(db, tenant, {}), "MU019");
});

Deno.test("a retry counts as a new job", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await setLimits(db, tenant, { waiting_jobs: 1 });
  const [job] = await submit(db, tenant, {});
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [job.id] });
  await submit(db, tenant, {});
  await refused(db.call(service, "retry_job", { caller: tenant.caller, job_id: job.id }), "MU019");
});

Deno.test("a tenant whose queue is short is never refused, however many jobs flow through, and others do not count", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  await setLimits(db, tenant, { waiting_jobs: 10, worker_burst: 10000, worker_rate: 10000 });
  const worker = await createWorker(db, tenant, { slots: 5 });
  for (let round = 0; round < 10; round++) {
    await submit(db, other, ...Array.from({ length: 50 }, () => ({})));
    await submit(db, tenant, ...Array.from({ length: 5 }, () => ({})));
    await submit(db, tenant, ...Array.from({ length: 5 }, () => ({})));
    for (let n = 0; n < 2; n++) await worker.complete((await worker.claim(5)).map((job) => succeeded(job)));
  }
});

Deno.test("a long queue is counted when the quota is near and not at each submission; the tick keeps the count fresh", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await setLimits(db, tenant, { waiting_jobs: 20000 });
  const counted = async () => {
    const [row] = await db.sql`select waiting_count, counted_at from muster_private.waiting_counts`;
    return row as unknown as { waiting_count: number; counted_at: Date };
  };
  await submit(db, tenant, {});
  assert.equal((await counted()).waiting_count, 1);
  await fillQueue(db, tenant, 19999);
  await db.advance(1);
  // Twenty thousand wait: what is counted for a refusal is undone with it, so the tick has to.
  await refused(submit(db, tenant, {}), "MU019");
  assert.equal((await counted()).waiting_count, 1);
  await db.sql`delete from muster.jobs where ctid in (select ctid from muster.jobs where status = 'queued' limit 1000)`;
  await submit(db, tenant, {});
  assert.equal((await counted()).waiting_count, 19001);
  // One hundredth is given without looking again.
  await submit(db, tenant, ...Array.from({ length: 1000 }, () => ({})));
  assert.equal((await counted()).waiting_count, 19001);
  await db.advance(1);
  await tick(db);
  assert.equal((await counted()).waiting_count, 20001);
  await refused(submit(db, tenant, {}), "MU019");
  // For a moment a full count stands, also when the queue is gone.
  await db.sql`delete from muster.jobs`;
  await refused(submit(db, tenant, {}), "MU019");
  await db.advance(1);
  await submit(db, tenant, {});
});

Deno.test("waiting jobs of each kind are counted from their index, no further than told", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  for (const status of ["queued", "scheduled", "blocked"]) await fillQueue(db, tenant, 30, status);
  const count = async (most: number) => {
    const [row] = await db.sql`select muster_private.count_waiting(${tenant.id}, ${most}) as count`;
    return row!.count;
  };
  assert.deepEqual([await count(1000), await count(40)], [90, 40]);
  for (const status of ["queued", "scheduled", "blocked"]) await fillQueue(db, await createTenant(db), 1000, status);
  for (const table of ["ready", "scheduled", "blocked"]) {
    await db.sql`vacuum analyze ${db.sql(`muster_private.${table}_jobs`)}`;
  }
  const text = (await db.sql`select prosrc from pg_proc where proname = 'count_waiting'`)[0]!.prosrc as string;
  const query = /\(\s*(select count[\s\S]*) w\)/.exec(text)![1]!.replaceAll("count_waiting.tenant_id", `'${tenant.id}'`)
    .replaceAll("count_waiting.most", "1000");
  const plan = (await db.sql.unsafe(`explain ${query} w`)).map((row) => row["QUERY PLAN"]).join("\n");
  for (const index of ["ready_jobs_claimable_idx", "scheduled_jobs_of_tenant_idx", "blocked_jobs_next_idx"]) {
    assert.ok(plan.includes(index), plan);
  }
});

Deno.test("a tenant cannot enroll more workers than it may; one that was revoked makes room", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await setLimits(db, tenant, { workers: 2 });
  const first = await createWorker(db, tenant);
  await createWorker(db, tenant);
  await refused(createWorker(db, tenant), "MU019");
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: first.id });
  await createWorker(db, tenant);
  await refused(createWorker(db, tenant), "MU019");
  await createWorker(db, await createTenant(db));
});

Deno.test("a tenant cannot ask for more distinct sets of requirements than it may; known ones go on", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await setLimits(db, tenant, { job_classes: 2 });
  await submit(db, tenant, {}, { labels: { a: "1" } });
  await refused(submit(db, tenant, { labels: { a: "2" } }), "MU019");
  await submit(db, tenant, { labels: { a: "1" } });
});

Deno.test("bytes of artifacts count from their announcement until they are rejected, forgotten or deleted", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await setLimits(db, tenant, { artifact_bytes: 100 });
  const create = (bytes: number) =>
    db.call(service, "create_artifact", { caller: tenant.caller, artifact: { ...fileOf("x"), size_bytes: bytes } });
  const used = async () => (await getLimits(db, tenant)).used.artifact_bytes;
  const first = await create(60);
  await refused(create(41), "MU019");
  await create(40);
  assert.equal(await used(), 100);
  await db.call(service, "reject_artifact", { artifact_id: first.id, reason: "test" });
  await db.call(service, "reject_artifact", { artifact_id: first.id, reason: "again" });
  assert.equal(await used(), 40);
  const ready = await create(50);
  await db.call(service, "finish_artifact", { artifact_id: ready.id, size_bytes: 50, sha256: fileOf("x").sha256 });
  assert.equal(await used(), 90);
  await db.advance(86401);
  await tick(db);
  // What was finished stays, what was only announced is given up.
  assert.equal(await used(), 50);
  await refused(
    db.call(service, "authorize_artifact_finish", { caller: tenant.caller, artifact_id: first.id }),
    "MU008",
  );
  await db.sql`delete from muster.artifacts where id = ${ready.id}`;
  assert.equal(await used(), 0);
  await create(100);
  await db.sql`delete from muster.tenants where id = ${tenant.id}`;
  assert.equal((await db.sql`select from muster_private.artifact_usage`).length, 0);
});

Deno.test("announcements that overlap wait for nobody and are all counted", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const artifact = fileOf("12345");
  await using first = await db.transaction();
  await using second = await db.transaction();
  await first.call(service, "create_artifact", { caller: tenant.caller, artifact });
  await second.call(service, "create_artifact", { caller: tenant.caller, artifact });
  await db.call(service, "create_artifact", { caller: tenant.caller, artifact });
  await first.commit();
  await second.rollback();
  assert.equal((await getLimits(db, tenant)).used.artifact_bytes, 10);
});

Deno.test("limits are the project's to set, are noted in the audit log, and go back to the usual ones by null", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const usual = (await getLimits(db, tenant)).limits;
  assert.deepEqual((await getLimits(db, tenant)).changed, []);
  const changed = await setLimits(db, tenant, { workers: 3, api_key_rate: 7 });
  assert.deepEqual(changed.limits, { ...usual, workers: 3, api_key_rate: 7 });
  assert.deepEqual(changed.changed, ["api_key_rate", "workers"]);
  assert.deepEqual((await setLimits(db, tenant, { workers: null })).changed, ["api_key_rate"]);
  const noted = await auditEntries(db, tenant, "limits.changed");
  assert.deepEqual(noted.map(({ data }) => data), [{ workers: 3, api_key_rate: 7 }, { workers: null }]);

  for (
    const limits of [
      null,
      [],
      { wokers: 1 },
      { workers: -1 },
      { workers: "3" },
      { api_key_rate: 0 },
      { tenant_id: 1 },
      { member_burst: 1e6 },
    ]
  ) {
    await refused(setLimits(db, tenant, limits as Args), "MU004", JSON.stringify(limits));
  }
  for (const role of ["admin", "viewer"] as const) {
    const { caller } = await createMember(db, tenant, role);
    await refused(db.call(service, "set_limits", { caller, limits: { workers: 1 } }), "MU002");
    await db.call(service, "get_limits", { caller });
  }
});
