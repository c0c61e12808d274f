import assert from "node:assert/strict";
import {
  auditEntries,
  createTenant,
  createWorker,
  getJob,
  refused,
  sentMessages,
  submit,
  succeeded,
  tick,
} from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

const key = { concurrency_key: "printer" };
const reject = { ...key, concurrency_policy: "reject" };
const replace = { ...key, concurrency_policy: "replace" };

async function statusesOf(db: TestDatabase): Promise<string[]> {
  return (await db.sql`select status from muster.jobs order by position`).map(({ status }) => status);
}

Deno.test("policy reject refuses the whole request while the key has no room, and names who has it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [first] = await submit(db, tenant, reject);
  assert.deepEqual([first.status, first.concurrency_policy], ["queued", "reject"]);
  const error = await refused(submit(db, tenant, {}, reject), "MU030");
  assert.match(error.message, new RegExp(`printer.*limit is 1.*${first.id}`));
  assert.deepEqual(await statusesOf(db), ["queued"], "nothing of the request is stored");
  // Of one request, too: the second finds the first.
  await refused(submit(db, tenant, { ...reject, concurrency_key: "b" }, { ...reject, concurrency_key: "b" }), "MU030");
  const two = { ...reject, concurrency_key: "c", concurrency_limit: 2 };
  assert.deepEqual((await submit(db, tenant, two, two)).map(({ status }) => status), ["queued", "queued"]);
  await worker.complete([succeeded((await worker.claim())[0]!)]);
  assert.equal((await submit(db, tenant, reject))[0].status, "queued");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("policy reject counts those that wait for the key, and a known idempotency key answers its job all the same", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const known = { ...reject, idempotency_key: "once" };
  const [first] = await submit(db, tenant, known);
  await submit(db, tenant, key);
  const [again] = await submit(db, tenant, known);
  assert.equal(again.id, first.id);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [first.id] });
  await refused(submit(db, tenant, reject), "MU030");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("policy replace cancels what waits, then the oldest that run, as many as needed, and tells their workers", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3, listening: true });
  const wide = { ...key, concurrency_limit: 2 };
  const [a, b, c] = await submit(db, tenant, wide, wide, wide);
  assert.deepEqual(await statusesOf(db), ["assigned", "assigned", "blocked"]);
  const [d] = await submit(db, tenant, { ...replace, concurrency_limit: 2 });
  assert.equal(d.status, "assigned", "its slot is free at once");
  assert.deepEqual(await statusesOf(db), ["cancelled", "assigned", "cancelled", "assigned"]);
  for (const { id } of [a, c]) {
    const { error } = await getJob(db, tenant, id);
    assert.deepEqual([error.code, error.details], ["replaced", { jobId: d.id }]);
  }
  assert.equal((await getJob(db, tenant, b.id)).error, null);
  const told = (await sentMessages(db, `worker:${worker.id}:tasks`)).filter(({ event }) => event === "task.cancel");
  assert.deepEqual(told.map(({ data }) => data.jobs), [[{ jobId: a.id, attempt: 1, reason: "replaced" }]]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("policy replace leaves alone what is not in the way: room, other keys, delayed jobs, known idempotency keys", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const roomy = { ...replace, concurrency_limit: 3, idempotency_key: "once" };
  await submit(
    db,
    tenant,
    { ...key, concurrency_limit: 3 },
    { ...key, concurrency_limit: 3, run_at: "2030-01-01T00:00:00Z" },
    { concurrency_key: "other" },
  );
  const [first] = await submit(db, tenant, roomy);
  const [again] = await submit(db, tenant, { ...roomy, concurrency_limit: 1 });
  assert.equal(again.id, first.id);
  assert.deepEqual(await statusesOf(db), ["queued", "scheduled", "queued", "queued"]);
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("of a request with several jobs of one key that replace the newest are left, as if they came one by one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const jobs = await submit(db, tenant, replace, { ...replace, notify: true }, replace);
  assert.deepEqual(jobs.map(({ status }) => status), ["cancelled", "cancelled", "queued"]);
  assert.equal(jobs[0].error.code, "replaced");
  // A job that rejects finds the room that one before it has made.
  await refused(submit(db, tenant, replace, reject), "MU030");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("what comes after a replaced job fails with it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [, next, anyway] = await submit(db, tenant, key, { after: ["#0"] }, { after: ["#0"], after_policy: "ended" });
  await submit(db, tenant, replace);
  assert.equal((await getJob(db, tenant, next.id)).error.code, "dependency_failed");
  assert.equal((await getJob(db, tenant, anyway.id)).status, "queued");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("submit_jobs() refuses policies that make no sense", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  for (
    const job of [
      { concurrency_policy: "reject" },
      { ...key, concurrency_policy: "kill" },
      { ...key, concurrency_policy: 1 },
      { ...reject, run_at: "2030-01-01T00:00:00Z" },
      { ...replace, after: [crypto.randomUUID()] },
      { type: "muster.batch" },
    ]
  ) await refused(submit(db, tenant, job), "MU004", JSON.stringify(job));
  assert.deepEqual(await statusesOf(db), []);
});

Deno.test("set_concurrency_key() pauses a key, opens it, and keeps its limit from submissions until it is left to them", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 9 });
  const set = (max_running: number | null): Promise<Answer> =>
    db.call(service, "set_concurrency_key", { caller: tenant.caller, key: "printer", max_running });
  assert.deepEqual(await set(0), { key: "printer", limit: 0, fixed: true, admitted: 0, waiting: 0 });
  await submit(db, tenant, { ...key, concurrency_limit: 5 }, key, key);
  await tick(db);
  assert.deepEqual(await worker.claim(9), []);
  await refused(submit(db, tenant, reject), "MU030");
  assert.deepEqual(await set(2), { key: "printer", limit: 2, fixed: true, admitted: 2, waiting: 1 });
  const held = await worker.claim(9);
  assert.equal(held.length, 2);
  // Running jobs run on when the key is paused, and nobody follows them.
  await set(0);
  await worker.complete(held.map((attempt) => succeeded(attempt)));
  assert.deepEqual(await worker.claim(9), []);
  const [kept] = await submit(db, tenant, replace);
  assert.deepEqual([kept.status, await statusesOf(db)], ["blocked", [
    "succeeded",
    "succeeded",
    "cancelled",
    "blocked",
  ]]);
  assert.deepEqual(await set(null), { key: "printer", limit: 1, fixed: false, admitted: 1, waiting: 0 });
  await submit(db, tenant, { ...key, concurrency_limit: 4 });
  const { keys, next_cursor } = await db.call(service, "list_concurrency_keys", { caller: tenant.caller });
  assert.deepEqual([keys, next_cursor], [[{ key: "printer", limit: 4, fixed: false, admitted: 2, waiting: 0 }], null]);
  assert.deepEqual((await auditEntries(db, tenant, "concurrency_key.set")).map(({ data }) => data.limit), [
    0,
    2,
    0,
    null,
  ]);
  await refused(set(-1), "MU004");
  await refused(set(1001), "MU004");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("list_concurrency_keys() pages by name and shows no other tenant's", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, await createTenant(db), { concurrency_key: "foreign" });
  await submit(db, tenant, ...["b", "a", "c"].map((concurrency_key) => ({ concurrency_key })));
  const page = (cursor: string | null) =>
    db.call(service, "list_concurrency_keys", { caller: tenant.caller, page_size: 2, cursor });
  const first = await page(null);
  const second = await page(first.next_cursor);
  const names = ({ keys }: Answer) => keys.map((item: Answer) => item.key);
  assert.deepEqual([names(first), first.next_cursor, names(second), second.next_cursor], [
    ["a", "b"],
    "b",
    ["c"],
    null,
  ]);
});
