import assert from "node:assert/strict";
import { multiplyJobs } from "../../bench/fill-jobs.ts";
import { createTenant, createWorker, getJob, submit, succeeded } from "../support/actors.ts";
import { TestDatabase } from "../support/database.ts";

// The benches fill their tables this way: what they measure must be what the functions would have made.

Deno.test("copies of a queued job are claimed after it, in order, and done as it is", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [model] = await submit(db, tenant, { payload: { id: 7 }, requires: ["compute/basic"] });
  const last = await multiplyJobs(db, [model.id], 20);
  await checkPlaces(db);

  const worker = await createWorker(db, tenant, { slots: 30 });
  const first = await worker.claim(1);
  assert.equal(first[0]!.job_id, model.id);
  const rest = await worker.claim(30);
  assert.equal(rest.length, 20);
  assert.ok(rest.every(({ payload }) => (payload as { id: number }).id === 7));
  const [order] = await db.sql`
    select array_agg(id order by position) as ids from muster.jobs where id <> ${model.id}`;
  assert.equal(order!["ids"].at(-1), last);
  assert.deepEqual(order!["ids"].toSorted(), order!["ids"], "ids go up with the order, as those of the functions do");

  const { outcomes } = await worker.complete([...first, ...rest].map((attempt) => succeeded(attempt)));
  assert.ok(outcomes.every(({ outcome }: { outcome: string }) => outcome === "accepted"));
  assert.deepEqual(await worker.claim(30), []);
  const [copy, original] = [await getJob(db, tenant, last), await getJob(db, tenant, model.id)];
  assert.deepEqual(Object.keys(copy), Object.keys(original));
  assert.equal(copy.status, "succeeded");
});

Deno.test("copies of finished jobs have their events, and nobody can claim them", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, { requires: ["compute/basic"] });
  const [assignment] = await worker.claim(1);
  await worker.complete([succeeded(assignment!)]);
  await multiplyJobs(db, [assignment!.job_id], 3);
  await checkPlaces(db);

  assert.deepEqual(await worker.claim(1), []);
  const counts = await db.sql`
    select count(*)::integer as events, max(sequence)::integer as last from muster.job_events group by job_id`;
  assert.equal(counts.length, 4);
  assert.ok(counts.every(({ events, last }) => events === counts[0]!["events"] && last === events));
});

Deno.test("copies of several jobs take turns", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const models = await submit(db, tenant, { type: "first" }, { type: "second" });
  await multiplyJobs(db, models.map(({ id }) => id), 3);
  const rows = await db.sql`select type from muster.jobs order by position`;
  assert.deepEqual(rows.map(({ type }) => type), [...Array(4)].flatMap(() => ["first", "second"]));
});

async function checkPlaces(db: TestDatabase): Promise<void> {
  assert.deepEqual([...await db.sql`select * from muster_private.check_places()`], []);
}
