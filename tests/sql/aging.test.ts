import assert from "node:assert/strict";
import { createTenant, createWorker, submit, succeeded, tick } from "../support/actors.ts";
import { TestDatabase } from "../support/database.ts";

Deno.test("a job of low priority moves under an endless flood of higher ones, once it has waited for the difference", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, { payload: "low", priority: -2 });
  const served: unknown[] = [];
  // Two come where one is served: the flood alone would keep the worker busy for ever.
  for (let round = 0; round < 20 && served.at(-1) !== "low"; round += 1) {
    await submit(db, tenant, { priority: 3, payload: "high" }, { priority: 3, payload: "high" });
    const [job] = await worker.claim();
    await worker.complete([succeeded(job!)]);
    served.push(job!.payload);
    await db.advance(10);
    await tick(db);
    await worker.heartbeat();
  }
  // Five points of 30 s each, at 10 s a round.
  assert.deepEqual([served.at(-1), served.length], ["low", 16]);
});

Deno.test("age_jobs() moves a few heads of a lane to the next lane that they have waited for, and counts no further", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, tenant, ...Array.from({ length: 25 }, () => ({ priority: 0 })));
  await submit(db, tenant, { priority: 2 }, { priority: 5 });
  assert.deepEqual(await lanes(db), { 0: 25, 2: 1, 5: 1 });
  await db.advance(59);
  assert.equal(await age(db), 0);
  await db.advance(1);
  assert.equal(await age(db), 10);
  assert.deepEqual(await lanes(db), { 0: 15, 2: 11, 5: 1 });
  assert.equal(await age(db), 10);
  assert.equal(await age(db), 5);
  assert.equal(await age(db), 0);
  // The one that was submitted with 2 has its points earlier, and waits for those before it.
  await db.advance(30);
  assert.equal(await age(db), 0);
  await db.advance(60);
  assert.deepEqual([await age(db), await age(db), await age(db)], [10, 10, 6]);
  assert.deepEqual(await lanes(db), { 5: 27 });
  await db.advance(3600);
  assert.equal(await age(db), 0, "no other lane is there to be overtaken");
  assert.deepEqual(await places(db), []);
});

Deno.test("age_jobs() leaves a raised job behind none of its new lane that came later", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3 });
  await submit(db, tenant, { payload: "old" });
  await submit(db, tenant, { payload: 1, priority: 1 }, { payload: 2, priority: 1 });
  await db.advance(31);
  await tick(db);
  await submit(db, tenant, { payload: 3, priority: 1 });
  await worker.heartbeat();
  const taken = [await worker.claim(), await worker.claim()].flat().map(({ payload }) => payload);
  assert.deepEqual(taken, ["old", 1]);
});

Deno.test("age_jobs() looks at 400 lanes a time and goes on behind them, tenant by tenant", async () => {
  await using db = await TestDatabase.create();
  const [one, two] = [await createTenant(db), await createTenant(db)];
  // No jobs stand behind these: what is asked is only how many are looked at.
  for (const { id } of [one, two]) {
    await db
      .sql`insert into muster_private.ready_jobs (job_id, tenant_id, class_id, priority, rank, position, flow, queued_at)
      select gen_random_uuid(), ${id}, n, p, n, n, '', ${await db
      .now()} from generate_series(1, 500) n, unnest(array[0, 1]) p`;
  }
  const seen: unknown[] = [];
  for (let n = 0; n < 4; n += 1) {
    await age(db);
    const [place] = await db
      .sql`select tenant_id, priority, class_id::integer from muster_private.sweep_places where name = 'aging'`;
    seen.push([[one.id, two.id].sort().indexOf(place!.tenant_id), place!.priority, place!.class_id]);
  }
  assert.deepEqual(seen, [[0, 0, 400], [1, 0, 300], [-1, null, null], [0, 0, 400]]);
});

Deno.test("age_jobs() does nothing where all jobs have one priority, however long they wait", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, tenant, {}, { requires: ["nobody/has"] });
  await db.advance(7200);
  assert.equal(await age(db), 0);
  assert.deepEqual(await lanes(db), { 0: 2 });
});

async function age(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`select muster_private.age_jobs(muster_private.now()) as count`;
  return row!.count;
}

async function lanes(db: TestDatabase): Promise<Record<string, number>> {
  const rows = await db
    .sql`select priority, count(*)::integer as count from muster_private.ready_jobs group by 1 order by 1`;
  return Object.fromEntries(rows.map(({ priority, count }) => [priority, count]));
}

async function places(db: TestDatabase): Promise<string[]> {
  return (await db.sql`select muster_private.check_places() as line`).map(({ line }) => line);
}
