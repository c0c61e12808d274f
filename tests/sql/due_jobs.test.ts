import assert from "node:assert/strict";
import { createTenant, getJob, submit, type TestTenant, tick } from "../support/actors.ts";
import { type Args, TestDatabase } from "../support/database.ts";

Deno.test("tick() queues due jobs of every tenant, whatever one of them has due", async () => {
  await using db = await TestDatabase.create();
  const [flooding, ...others] = await tenants(db, 4);
  const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1, 0, 1, seconds)).toISOString();
  for (let n = 0; n < 3; n += 1) await submitMany(db, flooding!, 1000, { run_at: at(0) });
  const late = await Promise.all(others.map((tenant) => submit(db, tenant, { run_at: at(1) }, { run_at: at(2) })));
  await db.advance(70);
  const { due_jobs } = await tick(db);
  assert.equal(due_jobs, 1000);
  for (const [index, tenant] of others.entries()) {
    for (const { id } of late[index]!) assert.equal((await getJob(db, tenant, id)).status, "queued");
  }
  // What the others did not need went to the oldest.
  assert.equal(await count(db, flooding!, "queued"), 1000 - 6);
  assert.deepEqual([(await tick(db)).due_jobs, (await tick(db)).due_jobs, (await tick(db)).due_jobs], [1000, 1000, 6]);
});

Deno.test("tick() gives up late jobs of every tenant, whatever one of them has late", async () => {
  await using db = await TestDatabase.create();
  const [flooding, other] = await tenants(db, 2);
  for (let n = 0; n < 2; n += 1) await submitMany(db, flooding!, 1000, { timeout_seconds: 10 });
  const [job] = await submit(db, other!, { timeout_seconds: 20 });
  await db.advance(30);
  assert.equal((await tick(db)).expired_jobs, 1000);
  assert.equal((await getJob(db, other!, job.id)).status, "failed");
  assert.equal(await count(db, flooding!, "failed"), 999);
});

Deno.test("due_jobs() serves more tenants than have room in a tick one after the other", async () => {
  await using db = await TestDatabase.create();
  const ids = Array.from({ length: 250 }, () => crypto.randomUUID()).sort();
  await db.sql`insert into muster_private.scheduled_jobs (job_id, tenant_id, run_at)
    select gen_random_uuid(), t::uuid, ${await db.now()} - make_interval(secs => 300 - n)
    from unnest(${ids}::text[]) with ordinality t (t, n), generate_series(1, 20)`;
  const served = new Set<string>();
  for (let n = 0; n < 3; n += 1) {
    const rows = await db.sql`
      with gone as (
        delete from muster_private.scheduled_jobs s
        where s.job_id = any ((select muster_private.due_jobs('scheduled', muster_private.now(), 100))::uuid[]) returning s.tenant_id)
      select tenant_id, count(*)::integer as count from gone group by 1`;
    assert.deepEqual(rows.map((row) => row.count), Array(100).fill(1), `the ${n + 1}th time`);
    for (const { tenant_id } of rows) served.add(tenant_id);
  }
  assert.equal(served.size, 250);
});

function tenants(db: TestDatabase, count: number): Promise<TestTenant[]> {
  return Promise.all(Array.from({ length: count }, () => createTenant(db)));
}

function submitMany(db: TestDatabase, tenant: TestTenant, count: number, job: Args): Promise<unknown> {
  return submit(db, tenant, ...Array.from({ length: count }, () => job));
}

async function count(db: TestDatabase, tenant: TestTenant, status: string): Promise<number> {
  const [row] = await db.sql`
    select count(*)::integer as count from muster.jobs where tenant_id = ${tenant.id} and status::text = ${status}`;
  return row!.count;
}
