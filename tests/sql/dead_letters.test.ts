import assert from "node:assert/strict";
import {
  auditEntries,
  createInput,
  createTenant,
  createWorker,
  eachRefused,
  failed,
  getJob,
  refused,
  submit,
  succeeded,
  type TestTenant,
  tick,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("a job that fails for good leaves a letter, whatever it failed of, and no other job does", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 4 });
  await submit(
    db,
    tenant,
    { type: "error", max_attempts: 1 },
    { type: "again", max_attempts: 2 },
    { type: "well" },
    { type: "slow", max_attempts: 1, attempt_timeout_seconds: 10 },
  );
  const [waiting, cancelled] = await submit(db, tenant, { type: "waiting", timeout_seconds: 10 }, {
    type: "cancelled",
  });
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [cancelled.id] });
  const jobs = await worker.claim(4);
  const of = (type: string) => jobs.find((job) => job.type === type)!;
  const long = "x".repeat(2000);
  await worker.complete([
    failed(of("error"), { code: "broken", message: long }),
    failed(of("again")),
    succeeded(of("well")),
  ]);
  await db.advance(11);
  await worker.heartbeat({ running: [of("slow")] });
  await tick(db);
  const { dead_letters, next_cursor } = await list(db, tenant);
  assert.equal(next_cursor, null);
  assert.deepEqual(dead_letters.map(({ type, error_code, attempts }: Answer) => [type, error_code, attempts]).sort(), [
    ["error", "broken", 1],
    ["slow", "attempt_timeout", 1],
    ["waiting", "expired", 0],
  ]);
  const letter = dead_letters.find(({ type }: Answer) => type === "error");
  assert.deepEqual(letter, {
    job_id: of("error").job_id,
    type: "error",
    error_code: "broken",
    error_message: long.slice(0, 500),
    attempts: 1,
    failed_at: "2026-01-01T00:00:00.000000Z",
    replayed_as: null,
    replayed_at: null,
    dismissed_at: null,
  });
  assert.ok(dead_letters.some(({ job_id }: Answer) => job_id === waiting.id));
  assert.deepEqual((await list(db, await createTenant(db))).dead_letters, []);
});

Deno.test("list_dead_letters() pages newest first and filters by type, error and time", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const ids = await letters(db, tenant, 7);
  const found: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Answer = await list(db, tenant, { page_size: 3, cursor });
    found.push(...page.dead_letters.map(({ job_id }: Answer) => job_id));
    cursor = page.next_cursor;
  } while (cursor !== null);
  assert.deepEqual(found, ids.toReversed());
  const idsOf = async (filters: Args) =>
    (await list(db, tenant, { filters })).dead_letters.map(({ job_id }: Answer) => job_id);
  assert.deepEqual(await idsOf({ type: "odd" }), [ids[5], ids[3], ids[1]]);
  assert.deepEqual(await idsOf({ error_code: "code-3" }), [ids[3]]);
  assert.deepEqual(await idsOf({ after: at(1), before: at(4) }), [ids[3], ids[2]]);
  await eachRefused<Args>({
    "an unknown filter": { filters: { status: "failed" } },
    "a filter that is a list": { filters: [] },
    "a time that is none": { filters: { after: "soon" } },
    "another cursor": { cursor: "1" },
    "another state": { state: "all" },
    "no state": { state: null },
  }, (args) => list(db, tenant, args));
});

Deno.test("replay_dead_letters() submits failed jobs again as they were, with what is to change, and marks their letters", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const input = await createInput(db, tenant);
  const asked = {
    type: "again",
    payload: { n: 1, none: null },
    requires: ["compute/basic"],
    labels: {},
    priority: 5,
    max_attempts: 1,
    fairness_key: "f",
    fairness_weight: 3,
    retry_backoff: "fixed",
    correlation_id: "c",
    notify: true,
    inputs: [input.id],
  };
  const [job] = await submit(db, tenant, {
    ...asked,
    idempotency_key: "once",
    timeout_seconds: 100,
    start_by: at(60),
  });
  const [held] = await worker.claim();
  await worker.complete([failed(held!)]);
  const before = await getJob(db, tenant, job.id);
  await db.advance(50);
  const answer = await replay(db, tenant, { ids: [job.id], changes: { priority: -7, max_attempts: 4 } });
  const [{ job_id, replayed_as }] = answer.jobs;
  assert.deepEqual([answer.replayed, answer.skipped, answer.next_cursor, job_id], [1, 0, null, job.id]);
  const again = await getJob(db, tenant, replayed_as);
  const expected = {
    ...asked,
    priority: -7,
    max_attempts: 4,
    idempotency_key: null,
    retry_of: job.id,
    status: "queued",
  };
  for (const [field, value] of Object.entries(expected)) assert.deepEqual(again[field], value, field);
  assert.deepEqual([again.expires_at, again.start_by], ["2026-01-01T00:02:30.000000Z", "2026-01-01T00:01:50.000000Z"]);
  assert.deepEqual(await getJob(db, tenant, job.id), before);
  assert.deepEqual((await list(db, tenant)).dead_letters, []);
  const [letter] = (await list(db, tenant, { state: "replayed" })).dead_letters;
  assert.deepEqual([letter.replayed_as, letter.replayed_at], [again.id, "2026-01-01T00:00:50.000000Z"]);
  // Failing again, it leaves a letter of its own.
  await worker.heartbeat();
  const [next] = await worker.claim();
  await worker.complete([failed(next!, { retryable: false })]);
  assert.deepEqual((await list(db, tenant)).dead_letters.map(({ job_id }: Answer) => job_id), [again.id]);
  assert.deepEqual(await db.sql`select muster_private.check_places()`.then((rows) => rows.length), 0);
});

Deno.test("replay_dead_letters() works off a filter, oldest first, as many at a time as told", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const ids = await letters(db, tenant, 5);
  await letters(db, other, 2);
  const first = await replay(db, tenant, { filter: {}, most: 2 });
  assert.deepEqual(first.jobs.map(({ job_id }: Answer) => job_id), ids.slice(0, 2));
  assert.notEqual(first.next_cursor, null);
  const second = await replay(db, tenant, { filter: {}, most: 3, cursor: first.next_cursor });
  assert.deepEqual(second.jobs.map(({ job_id }: Answer) => job_id), ids.slice(2));
  const last = await replay(db, tenant, { filter: {}, cursor: second.next_cursor });
  assert.deepEqual([last.replayed, last.next_cursor], [0, null]);
  // In the order of the old ones.
  const worker = await createWorker(db, tenant, { slots: 5 });
  assert.deepEqual((await worker.claim(5)).map(({ payload }) => payload), [0, 1, 2, 3, 4]);
  assert.equal((await list(db, other)).dead_letters.length, 2);
  assert.equal((await replay(db, other, { filter: { type: "odd" } })).replayed, 1);
});

Deno.test("a letter is replayed once, by two calls at a time as well", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const ids = await letters(db, tenant, 3);
  await using first = await db.transaction();
  await using second = await db.transaction();
  const args = { caller: tenant.caller, ids: ids.slice(0, 2) };
  assert.equal((await first.call(service, "replay_dead_letters", args)).replayed, 2);
  // One by a filter passes over what is in other hands; one by ids waits for it.
  assert.deepEqual((await replay(db, tenant, { filter: {} })).jobs.map(({ job_id }: Answer) => job_id), [ids[2]]);
  const waiting = second.call(service, "replay_dead_letters", { caller: tenant.caller, ids });
  await db.untilBlocked(second.pid);
  await first.commit();
  const { replayed, skipped, jobs } = await waiting;
  assert.deepEqual([replayed, skipped, jobs], [0, 3, []]);
  await second.commit();
  const rows = await db
    .sql`select count(*)::integer as count from muster.jobs where retry_of is not null group by retry_of`;
  assert.deepEqual(rows.map((row) => row.count), [1, 1, 1]);
});

Deno.test("a replay that meets another half-way goes on where that one has given up", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const ids = await letters(db, tenant, 2);
  await using first = await db.transaction();
  await using second = await db.transaction();
  await first.call(service, "replay_dead_letters", { caller: tenant.caller, ids });
  const waiting = second.call(service, "replay_dead_letters", { caller: tenant.caller, ids });
  await db.untilBlocked(second.pid);
  await first.rollback();
  assert.equal((await waiting).replayed, 2);
  await second.commit();
});

Deno.test("retry_job() marks the letter of its job, so that a replay passes it over", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const ids = await letters(db, tenant, 2);
  await using tx = await db.transaction();
  const again = await tx.call(service, "retry_job", { caller: tenant.caller, job_id: ids[0] });
  assert.deepEqual((await replay(db, tenant, { filter: {} })).jobs.map(({ job_id }: Answer) => job_id), [ids[1]]);
  await tx.commit();
  const marked = (await list(db, tenant, { state: "replayed" })).dead_letters;
  assert.deepEqual(marked.map(({ job_id, replayed_as }: Answer) => job_id === ids[0] ? replayed_as : null), [
    null,
    again.id,
  ]);
});

Deno.test("replayed jobs wait for their concurrency key, and the tenant's quota holds for them", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await letters(db, tenant, 3, { concurrency_key: "k" });
  const { jobs } = await replay(db, tenant, { filter: {} });
  const statuses = await Promise.all(jobs.map(({ replayed_as }: Answer) => getJob(db, tenant, replayed_as)));
  assert.deepEqual(statuses.map(({ status }: Answer) => status), ["queued", "blocked", "blocked"]);
  assert.deepEqual(await db.sql`select muster_private.check_places()`.then((rows) => rows.length), 0);

  const full = await createTenant(db);
  await letters(db, full, 3);
  await db.call(service, "set_limits", {
    caller: { kind: "service", tenant_id: full.id },
    limits: { waiting_jobs: 2 },
  });
  await refused(replay(db, full, { filter: {} }), "MU019");
  assert.equal((await list(db, full)).dead_letters.length, 3);
  assert.equal((await replay(db, full, { filter: {}, most: 2 })).replayed, 2);
});

Deno.test("replay_dead_letters() copies no more than some 16 MiB of payloads at a time, and says where to go on", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const ids = await letters(db, tenant, 3);
  // Random, so that it is stored as long as it is: more than one call may copy.
  await db.sql`update muster.jobs set payload = to_jsonb((
    select string_agg(md5(n::text || id::text), '') from generate_series(1, 300000) n)) where id = any (${ids})`;
  const first = await replay(db, tenant, { ids });
  assert.deepEqual([first.replayed, first.skipped], [2, 0]);
  const second = await replay(db, tenant, { ids, cursor: first.next_cursor });
  assert.deepEqual([second.replayed, second.skipped, second.next_cursor], [1, 0, null]);
  assert.deepEqual([...first.jobs, ...second.jobs].map(({ job_id }: Answer) => job_id), ids);
});

Deno.test("dismiss_dead_letters() closes letters, which then are not replayed, and notes who did it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const ids = await letters(db, tenant, 4);
  const dismiss = (args: Args) => db.call(service, "dismiss_dead_letters", { caller: tenant.caller, ...args });
  assert.deepEqual(await dismiss({ ids: [ids[0]] }), { dismissed: 1, skipped: 0, next_cursor: null });
  assert.deepEqual(await dismiss({ ids: ids.slice(0, 2) }), { dismissed: 1, skipped: 1, next_cursor: null });
  assert.deepEqual((await replay(db, tenant, { ids: ids.slice(0, 3) })).jobs.map(({ job_id }: Answer) => job_id), [
    ids[2],
  ]);
  assert.deepEqual(await dismiss({ filter: { before: at(100) } }), { dismissed: 1, skipped: 0, next_cursor: null });
  const dismissed = (await list(db, tenant, { state: "dismissed" })).dead_letters;
  assert.deepEqual(dismissed.map(({ job_id }: Answer) => job_id), [ids[3], ids[1], ids[0]]);
  const [entry] = await auditEntries(db, tenant, "dead_letters.dismissed");
  assert.deepEqual(entry.data.jobs, [ids[0]]);
});

Deno.test("letters are chosen by ids of the tenant's own or by a filter, and by nothing else", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const ids = await letters(db, tenant, 1);
  const [open] = await submit(db, tenant, {});
  for (const name of ["replay_dead_letters", "dismiss_dead_letters"]) {
    const call = (who: TestTenant, args: Args) => db.call(service, name, { caller: who.caller, ...args });
    await refused(call(other, { ids }), "MU003");
    await refused(call(tenant, { ids: [open.id] }), "MU003");
    await refused(call(tenant, { ids: [...ids, crypto.randomUUID()] }), "MU003");
    await refused(call(tenant, { ids: [null] }), "MU003");
    await eachRefused<Args>({
      "neither": {},
      "both": { ids, filter: {} },
      "no ids": { ids: [] },
      "ids that are none": { ids: ["x"] },
      "ids as text": { ids: "x" },
      "too many ids": { ids: Array(1001).fill(ids[0]) },
      "too many at a time": { filter: {}, most: 1001 },
      "none at a time": { filter: {}, most: 0 },
      "an unknown filter": { filter: { status: "failed" } },
      "a cursor of another kind": { filter: {}, cursor: "x" },
    }, (args) => call(tenant, args));
  }
  await eachRefused<Args>({
    "another change": { type: "x" },
    "no change but a list": [] as unknown as Args,
    "a priority of 101": { priority: 101 },
    "no attempts": { max_attempts: 0 },
  }, (changes) => replay(db, tenant, { ids, changes }));
  assert.equal((await list(db, tenant)).dead_letters.length, 1);
});

/** Letters of so many failed jobs, a second apart, the oldest first. */
async function letters(db: TestDatabase, tenant: TestTenant, count: number, job: Args = {}): Promise<string[]> {
  const worker = await createWorker(db, tenant);
  const ids: string[] = [];
  for (let n = 0; n < count; n += 1) {
    const [{ id }] = await submit(db, tenant, { type: n % 2 === 1 ? "odd" : "even", payload: n, ...job }) as [Answer];
    const [held] = await worker.claim();
    await worker.complete([failed(held!, { code: `code-${n}`, retryable: false })]);
    ids.push(id);
    await db.advance(1);
    await worker.heartbeat();
  }
  await db.call(worker.actor, "goodbye");
  return ids;
}

function list(db: TestDatabase, tenant: TestTenant, args: Args = {}): Promise<Answer> {
  return db.call(service, "list_dead_letters", { caller: tenant.caller, ...args });
}

function replay(db: TestDatabase, tenant: TestTenant, args: Args): Promise<Answer> {
  return db.call(service, "replay_dead_letters", { caller: tenant.caller, ...args });
}

/** So many seconds after the clock's start. */
function at(seconds: number): string {
  return new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString();
}
