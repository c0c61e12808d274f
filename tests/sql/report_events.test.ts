import assert from "node:assert/strict";
import {
  createTenant,
  createWorker,
  eachRefused,
  getJob,
  submit,
  succeeded,
  type TestTenant,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("report_events() stores events in the order of their numbers and shows the newest progress", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const event = (number: number, kind: string, data: unknown) => ({ ...attemptOf(held!), number, kind, data });
  const answer = await db.call(worker.actor, "report_events", {
    events: [
      event(2, "log", { level: "info", message: "half way" }),
      event(3, "progress", { fraction: 0.5, note: "half" }),
      event(1, "chunk", { text: "first" }),
    ],
  });
  assert.deepEqual(answer, { accepted: 3, stale: [] });
  const events = await eventsOf(db, tenant, job.id);
  assert.deepEqual(events.map((each) => each.sequence), events.map((_, index) => index + 1));
  assert.deepEqual(events.slice(-3).map((each) => [each.kind, each.attempt]), [["chunk", 1], ["log", 1], [
    "progress",
    1,
  ]]);
  const { progress, progress_note } = await getJob(db, tenant, job.id);
  assert.deepEqual([progress, progress_note], [0.5, "half"]);
});

Deno.test("report_events() shows any number as progress, however small or large", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const shown = [];
  for (const [index, fraction] of [1e-60, 1e300, -1e300, 0.25].entries()) {
    await report(db, worker.actor, [{ ...attemptOf(held!), number: index + 1, kind: "progress", data: { fraction } }]);
    shown.push((await getJob(db, tenant, job.id)).progress);
  }
  assert.deepEqual(shown, [0, 1, 0, 0.25]);
});

Deno.test("report_events() stores a repeated event once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const events = [1, 2].map((number) => ({ ...attemptOf(held!), number, kind: "log", data: { number } }));
  assert.equal((await report(db, worker.actor, [...events, events[0]!])).accepted, 2);
  assert.deepEqual(await report(db, worker.actor, events), { accepted: 0, stale: [] });
  assert.equal((await report(db, worker.actor, [...events, { ...events[0]!, number: 3 }])).accepted, 1);
  const stored = (await eventsOf(db, tenant, job.id)).filter((event) => event.kind === "log");
  assert.deepEqual(stored.map((event) => event.data.number), [1, 2, 1]);
});

Deno.test("report_events() does not let a late, older progress hide a newer one", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  for (const [number, fraction] of [[2, 0.8], [1, 0.1]]) {
    await report(db, worker.actor, [{ ...attemptOf(held!), number, kind: "progress", data: { fraction } }]);
  }
  assert.equal(Math.round((await getJob(db, tenant, job.id)).progress * 10), 8);
});

Deno.test("report_events() stores nothing of stale attempts and says which they are (I2)", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const worker = await createWorker(db, tenant, { slots: 3 });
  const peer = await createWorker(db, tenant);
  const [live, ended] = await submit(db, tenant, {}, {});
  const [foreign] = await submit(db, other, {});
  const held = await worker.claim(2);
  await worker.complete([succeeded(held.find((each) => each.job_id === ended.id)!)]);
  const [peers] = await submit(db, tenant, {});
  await peer.claim();
  const before = await countEvents(db);
  const attempts = [
    { job_id: ended.id, attempt: 1 },
    { job_id: live.id, attempt: 0 },
    { job_id: live.id, attempt: 2 },
    { job_id: peers.id, attempt: 1 },
    { job_id: foreign.id, attempt: 1 },
    { job_id: foreign.id, attempt: 0 },
    { job_id: crypto.randomUUID(), attempt: 1 },
  ];
  const events = [...attempts, { job_id: live.id, attempt: 1 }]
    .map((attempt) => ({ ...attempt, number: 1, kind: "progress", data: { fraction: 0.9 } }));
  const answer = await report(db, worker.actor, events);
  assert.equal(answer.accepted, 1);
  const order = (list: Answer[]) => list.map((each) => `${each.job_id} ${each.attempt}`).sort();
  assert.deepEqual(order(answer.stale), order(attempts));
  assert.equal(await countEvents(db), before + 1);
  assert.notEqual((await getJob(db, tenant, ended.id)).progress, 0.9);
  assert.equal((await getJob(db, tenant, peers.id)).progress, null);
});

Deno.test("report_events() keeps the events of each attempt apart", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  for (const attempt of [1, 2]) {
    const [held] = await worker.claim();
    await report(db, worker.actor, [{ ...attemptOf(held!), number: 1, kind: "chunk", data: { attempt } }]);
    assert.equal((await getJob(db, tenant, job.id)).attempts, attempt);
    await worker.hello({});
  }
  const chunks = (await eventsOf(db, tenant, job.id)).filter((event) => event.kind === "chunk");
  assert.deepEqual(chunks.map((event) => [event.attempt, event.data.attempt]), [[1, 1], [2, 2]]);
});

Deno.test("report_events() keeps progress between 0 and 1", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  let number = 0;
  for (const [fraction, shown] of [[-1, 0], [7, 1], [null, null], [0.5, 0.5]]) {
    await report(db, worker.actor, [{ ...attemptOf(held!), number: ++number, kind: "progress", data: { fraction } }]);
    assert.equal((await getJob(db, tenant, job.id)).progress, shown);
  }
});

Deno.test("report_events() refuses misuse and stores nothing of it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, {});
  const [held] = await worker.claim();
  const good = { ...attemptOf(held!), number: 1, kind: "log", data: { message: "x" } };
  const before = await countEvents(db);
  const bad: Record<string, unknown> = {
    "null": null,
    "an object": {},
    "a string": "x",
    "501 events": Array.from({ length: 501 }, (_, number) => ({ ...good, number })),
    "an event that is a string": [good, "x"],
    "an event that is null": [good, null],
    "no number": [good, { ...good, number: undefined }],
    "a number that is null": [{ ...good, number: null }],
    "a number below 1": [{ ...good, number: 0 }],
    "a negative number": [{ ...good, number: -1 }],
    "a number over all bounds": [{ ...good, number: 1e300 }],
    "a number in words": [{ ...good, number: "one" }],
    "no kind": [{ ...good, kind: undefined }],
    "the kind that is the server's own": [{ ...good, kind: "status" }],
    "an unknown kind": [{ ...good, kind: "shout" }],
    "data over the limit": [{ ...good, data: { message: "x".repeat(40_000) } }],
    "data with NUL": [{ ...good, data: { message: "\u0000" } }],
    "a job id that is no UUID": [{ ...good, job_id: "x" }],
    "a fraction in words": [{ ...good, kind: "progress", data: { fraction: "half" } }],
  };
  await eachRefused(bad, (events) => db.call(worker.actor, "report_events", { events }));
  assert.equal(await countEvents(db), before);
});

Deno.test("report_events() takes an empty list for nothing", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  assert.deepEqual(await report(db, worker.actor, []), { accepted: 0, stale: [] });
});

function report(db: TestDatabase, actor: Parameters<TestDatabase["call"]>[0], events: Args[]): Promise<Answer> {
  return db.call(actor, "report_events", { events });
}

function attemptOf({ job_id, attempt }: { job_id: string; attempt: number }): Args {
  return { job_id, attempt };
}

async function eventsOf(db: TestDatabase, tenant: TestTenant, jobId: string): Promise<Answer[]> {
  return (await db.call(service, "list_job_events", { caller: tenant.caller, job_id: jobId })).events;
}

async function countEvents(db: TestDatabase): Promise<number> {
  const [row] = await db.sql`select count(*)::integer as count from muster.job_events`;
  return row!.count;
}
