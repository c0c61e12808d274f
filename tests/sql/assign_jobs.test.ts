import assert from "node:assert/strict";
import { createTenant, createWorker, submit, succeeded, type TestTenant } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("assign_jobs() gives each job to the least loaded worker, by the share of its slots", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const small = await createWorker(db, tenant, { listening: true, slots: 2 });
  const large = await createWorker(db, tenant, { listening: true, slots: 6 });
  await db.sql`update muster.worker_devices set last_assigned_at = '2025-01-01' where id = ${large.id}`;
  // Who waits longer gets the first; then 1/2 against 0/6, 1/6 and 2/6; then 1/2 against 3/6; then the rest.
  for (const [jobs, inSmall, inLarge] of [[1, 1, 0], [3, 1, 3], [2, 2, 4], [2, 2, 6]] as const) {
    await submit(db, tenant, ...Array.from({ length: jobs }, () => ({})));
    assert.deepEqual(await heldCounts(db), { [small.id]: inSmall, [large.id]: inLarge });
  }
});

Deno.test("assign_jobs() gives what a batch of submissions at once gets one by one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const workers = [];
  for (const slots of [1, 2, 4, 9]) workers.push(await createWorker(db, tenant, { listening: true, slots }));
  await submit(db, tenant, ...Array.from({ length: 11 }, () => ({})));
  const atOnce = await heldCounts(db);
  for (const worker of workers) {
    const held = await worker.claim(0);
    await worker.complete(held.map((job) => succeeded(job)));
  }
  await db.sql`update muster.worker_devices set last_assigned_at = null`;
  for (let n = 0; n < 11; n++) await submit(db, tenant, {});
  assert.deepEqual(await heldCounts(db), atOnce);
});

Deno.test("assign_jobs() lets no job overtake one of higher priority, whatever they require", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const capabilities = ["a", "b", "c"];
  await submit(
    db,
    tenant,
    ...Array.from({ length: 90 }, (_, n) => ({ requires: [capabilities[n % 3]], priority: n % 30 })),
  );
  await createWorker(db, tenant, { capabilities, slots: 40, listening: true });
  await db.call(service, "tick");
  const [row] = await db.sql`
    select count(*) filter (where status = 'assigned')::integer as assigned,
      min(priority) filter (where status = 'assigned') as lowest, max(priority) filter (where status = 'queued') as waiting
    from muster.jobs`;
  assert.equal(row!.assigned, 40);
  assert.ok(row!.lowest >= row!.waiting, `${row!.lowest} is assigned while ${row!.waiting} waits`);
});

Deno.test("assign_jobs() fills a fleet of many classes to the last slot and not beyond, with one message a worker", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const workers = [];
  for (let n = 0; n < 12; n++) {
    const capabilities = [`pool/${n % 3}`, `pool/${(n + 1) % 3}`];
    workers.push(await createWorker(db, tenant, { capabilities, slots: 25, listening: true }));
  }
  await db.sql`delete from realtime.messages`;
  const jobs = await submitMany(db, tenant, 330, (n) => ({ requires: [`pool/${n % 3}`] }));
  assert.equal(jobs.filter((job) => job.status === "assigned").length, 300);
  const held = await heldCounts(db);
  assert.deepEqual(Object.values(held), workers.map(() => 25));
  const counted = await db.sql`select worker_id, count(*)::integer as jobs from muster.jobs
    where status = 'assigned' group by worker_id`;
  assert.deepEqual(Object.fromEntries(counted.map((row) => [row.worker_id, row.jobs])), held);
  const [sent] = await db.sql`select count(*)::integer as messages, count(distinct topic)::integer as topics
    from realtime.messages`;
  assert.deepEqual([sent!.messages, sent!.topics], [12, 12]);
});

Deno.test("assign_jobs() passes over a worker that another call works on, and gives its share to the others", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [taken, free] = [
    await createWorker(db, tenant, { listening: true, slots: 4 }),
    await createWorker(db, tenant, { listening: true, slots: 4 }),
  ];
  await using tx = await db.transaction();
  await tx.call(taken.actor, "heartbeat", { running: [], listening: true });
  await submit(db, tenant, {}, {}, {});
  assert.deepEqual(await heldCounts(db), { [taken.id]: 0, [free.id]: 3 });
});

async function heldCounts(db: TestDatabase): Promise<Record<string, number>> {
  const rows = await db.sql`select id, held_count from muster.worker_devices order by created_at, id`;
  return Object.fromEntries(rows.map((row) => [row.id, row.held_count]));
}

async function submitMany(
  db: TestDatabase,
  tenant: TestTenant,
  count: number,
  job: (n: number) => Args,
): Promise<Answer[]> {
  return await submit(db, tenant, ...Array.from({ length: count }, (_, n) => job(n)));
}
