import assert from "node:assert/strict";
import { createTenant, createWorker, eachRefused, submit, type TestTenant } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("list_jobs() answers newest first, page by page, each job once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const submitted: string[] = [];
  for (let n = 0; n < 3; n++) {
    await db.advance(1);
    // Jobs of one batch share their instant: the page border falls between them.
    const jobs = await submit(db, tenant, {}, {}, {});
    submitted.unshift(...jobs.map((job) => job.id).sort().reverse());
  }
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Answer = await list(db, tenant, { page_size: 2, cursor });
    seen.push(...page.jobs.map((job: Answer) => job.id));
    cursor = page.next_cursor;
  } while (cursor && seen.length < 20);
  assert.deepEqual(seen, submitted);
});

Deno.test("list_jobs() answers no cursor with the last page, also when that page is full", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, tenant, {}, {}, {}, {});
  const first = await list(db, tenant, { page_size: 2 });
  assert.ok(first.next_cursor);
  const last = await list(db, tenant, { page_size: 2, cursor: first.next_cursor });
  assert.equal(last.jobs.length, 2);
  assert.equal(last.next_cursor, null);
  assert.equal((await list(db, tenant, { page_size: 4 })).next_cursor, null);
});

Deno.test("list_jobs() leaves payloads and results out", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, tenant, { payload: "large" });
  const [job] = (await list(db, tenant)).jobs;
  assert.ok(!("payload" in job) && !("result" in job));
  assert.equal(job.status, "queued");
});

Deno.test("list_jobs() filters by each field and by several at once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [a] = await submit(db, tenant, { type: "a", correlation_id: "c1", idempotency_key: "k1" });
  await db.advance(10);
  const [b] = await submit(db, tenant, { type: "b", correlation_id: "c1" });
  await db.advance(10);
  const [c] = await submit(db, tenant, { type: "a", correlation_id: "c2", run_at: "2027-01-01T00:00:00Z" });
  await worker.claim();
  const cases: [Args, Answer[]][] = [
    [{}, [c, b, a]],
    [{ status: ["queued"] }, [b]],
    [{ status: ["queued", "scheduled"] }, [c, b]],
    [{ status: [] }, []],
    [{ status: ["nonsense"] }, []],
    [{ type: "a" }, [c, a]],
    [{ type: "a", correlation_id: "c1" }, [a]],
    [{ worker_id: worker.id }, [a]],
    [{ correlation_id: "c1" }, [b, a]],
    [{ idempotency_key: "k1" }, [a]],
    [{ created_after: "2026-01-01T00:00:00Z" }, [c, b]],
    [{ created_before: "2026-01-01T00:00:10Z" }, [a]],
    [{ created_after: "2026-01-01T00:00:00Z", created_before: "2026-01-01T00:00:20Z" }, [b]],
    [{ worker_id: crypto.randomUUID() }, []],
    [{ type: null, status: null }, [c, b, a]],
  ];
  for (const [filters, expected] of cases) {
    const { jobs } = await list(db, tenant, { filters });
    assert.deepEqual(jobs.map((job: Answer) => job.id), expected.map((job) => job.id), JSON.stringify(filters));
  }
});

Deno.test("list_jobs() shows nothing of another tenant, whatever the filter or cursor", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const worker = await createWorker(db, other);
  await submit(db, other, { correlation_id: "c", idempotency_key: "k" }, {}, {});
  await worker.claim();
  const { next_cursor } = await list(db, other, { page_size: 1 });
  for (const filters of [{}, { correlation_id: "c" }, { idempotency_key: "k" }, { worker_id: worker.id }]) {
    for (const cursor of [null, next_cursor]) {
      assert.deepEqual(await list(db, tenant, { filters, cursor }), { jobs: [], next_cursor: null });
    }
  }
});

Deno.test("list_jobs() keeps a page between 1 and 200 jobs, and 50 when not told", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, tenant, ...Array.from({ length: 250 }, () => ({})));
  const sizes: [Args, number][] = [
    [{}, 50],
    [{ page_size: null }, 50],
    [{ page_size: 0 }, 1],
    [{ page_size: -5 }, 1],
    [{ page_size: 200 }, 200],
    [{ page_size: 2_000_000_000 }, 200],
  ];
  for (const [args, size] of sizes) {
    assert.equal((await list(db, tenant, args)).jobs.length, size, JSON.stringify(args));
  }
});

Deno.test("list_jobs() looks at 10,000 jobs for a page, and goes on from there with the next", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [old] = await submit(db, tenant, { type: "rare", correlation_id: "c" });
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [old.id] });
  await db.sql`
    insert into muster.jobs (tenant_id, type, class_id, status, run_at, created_at, updated_at, finished_at)
    select j.tenant_id, 'test', j.class_id, 'succeeded', j.run_at, j.created_at + make_interval(secs => n), j.updated_at, j.updated_at
    from muster.jobs j cross join generate_series(1, 10000) n`;
  for (const filters of [{ type: "rare" }, { correlation_id: "c" }, { status: ["cancelled"] }]) {
    const first = await list(db, tenant, { filters });
    assert.deepEqual(first.jobs, []);
    const { jobs, next_cursor } = await list(db, tenant, { filters, cursor: first.next_cursor });
    assert.deepEqual(jobs.map((job: Answer) => job.id), [old.id]);
    assert.equal(next_cursor, null);
  }
  // What an index knows, and what has not ended, is found wherever it stands.
  await db.sql`update muster.jobs set idempotency_key = 'k' where id = ${old.id}`;
  assert.equal((await list(db, tenant, { filters: { idempotency_key: "k" } })).jobs[0].id, old.id);
  const waiting = await submit(db, tenant, {}, { run_at: "2100-01-01T00:00:00Z" }, { concurrency_key: "k" }, {
    concurrency_key: "k",
  });
  await db.sql`update muster.jobs set created_at = '2025-01-01' where status in ('queued', 'scheduled', 'blocked')`;
  const worker = await createWorker(db, tenant);
  const [held] = await worker.claim();
  for (
    const [statuses, count] of [[["queued"], 1], [["scheduled", "blocked"], 2], [["assigned", "running"], 1]] as const
  ) {
    const { jobs, next_cursor } = await list(db, tenant, { filters: { status: statuses } });
    assert.deepEqual([jobs.length, next_cursor], [count, null], statuses.join());
    assert.equal(jobs.some((job: Answer) => job.id === held!.job_id), statuses[0] === "assigned");
  }
  const { jobs } = await list(db, tenant, {
    filters: { status: ["queued", "scheduled", "blocked", "running"], type: "test" },
  });
  assert.deepEqual(jobs.map((job: Answer) => job.id).sort(), waiting.map(({ id }) => id).sort());
});

Deno.test("list_jobs() refuses misuse", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, tenant, {});
  const bad: Record<string, Args> = {
    "a cursor of nonsense": { cursor: "x" },
    "an empty cursor": { cursor: "" },
    "a cursor with an impossible time": { cursor: `2026-99-99T00:00:00.000000Z_${crypto.randomUUID()}` },
    "a cursor with SQL": { cursor: `2026-01-01T00:00:00.000000Z_'; drop table muster.jobs; --            ` },
    "a cursor whose id is no UUID": { cursor: `2026-01-01T00:00:00.000000Z_${"-".repeat(36)}` },
    "a worker id that is no UUID": { filters: { worker_id: "x" } },
    "a time that is none": { filters: { created_after: "yesterday or so" } },
    "a status that is no list": { filters: { status: "queued" } },
    "a status that is an object": { filters: { status: {} } },
    "a filter that does not exist": { filters: { statuses: ["queued"] } },
    "filters as an array": { filters: ["queued"] },
  };
  await eachRefused(bad, (args) => list(db, tenant, args));
  assert.equal((await list(db, tenant, { filters: null })).jobs.length, 1);
});

function list(db: TestDatabase, tenant: TestTenant, args: Args = {}): Promise<Answer> {
  return db.call(service, "list_jobs", { caller: tenant.caller, ...args });
}
