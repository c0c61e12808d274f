import assert from "node:assert/strict";
import { channels } from "../../shared/channels.ts";
import {
  createTenant,
  createWorker,
  eachRefused,
  getJob,
  sentMessages,
  submit,
  succeeded,
  tick,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("heartbeat() keeps the lease on all jobs of a worker for as long as it beats", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, {}, {});
  const running = await worker.claim(2);
  for (let n = 0; n < 10; n++) {
    await db.advance(5);
    const answer = await worker.heartbeat({ running });
    assert.deepEqual([answer.resync, answer.stop, answer.jobs], [false, [], []]);
    await tick(db);
  }
  for (const job of running) assert.equal((await getJob(db, tenant, job.job_id)).attempts, 1);
});

Deno.test("heartbeat() writes no row per job", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 5 });
  await submit(db, tenant, {}, {}, {}, {}, {});
  const running = await worker.claim(5);
  const versions = () =>
    db.sql`select xmin::text, ctid::text from muster.jobs union all select xmin::text, ctid::text from muster.worker_devices order by 1, 2`;
  const before = [...await versions()];
  await db.advance(1);
  await worker.heartbeat({ running, metrics: { cpu: 0.5 } });
  assert.deepEqual([...await versions()], before);
});

Deno.test("heartbeat() answers 30 s to an idle worker and 5 s to a busy one, up to a fifth less at random", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const told = async (args: Args = {}) => {
    const seconds: number[] = [];
    for (let n = 0; n < 10; n++) seconds.push((await worker.heartbeat(args)).next_seconds);
    return { lowest: Math.min(...seconds), highest: Math.max(...seconds) };
  };
  const idle = await told();
  assert.deepEqual([idle.lowest >= 24, idle.highest <= 30, idle.lowest < idle.highest], [true, true, true]);
  await submit(db, tenant, {});
  const { jobs, next_seconds } = await worker.heartbeat({ want: 1 });
  assert.ok(next_seconds >= 4 && next_seconds <= 5);
  const busy = await told({ running: jobs });
  assert.deepEqual([busy.lowest >= 4, busy.highest <= 5, busy.lowest < busy.highest], [true, true, true]);
});

Deno.test("heartbeat() stretches the interval so that a fleet of any mix sends at most about 200 beats a second", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [idle, busy] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  await submit(db, tenant, {});
  const running = await busy.claim();
  for (
    const [idleCount, busyCount, idleSeconds, busySeconds] of [
      // Small fleets keep the defaults.
      [100, 100, 30, 5],
      [2400, 400, 30, 5],
      // Each kind may use half of what there is, and more where the other leaves it.
      [10_000, 0, 62.5, 5],
      [9_600, 400, 120, 5],
      [0, 10_000, 30, 62.5],
      [1_200, 9_000, 30, 75],
      [8_000, 8_000, 100, 100],
    ] as const
  ) {
    await db.sql`update muster_private.scheduler_state
      set beating_count = ${idleCount + busyCount}, busy_count = ${busyCount}`;
    const [slow, fast] = [await idle.heartbeat(), await busy.heartbeat({ running })];
    for (const [told, nominal] of [[slow.next_seconds, idleSeconds], [fast.next_seconds, busySeconds]] as const) {
      assert.ok(told <= nominal && told >= 0.8 * nominal, `${told} s for ${idleCount} idle and ${busyCount} busy`);
    }
    assert.deepEqual([slow.busy_seconds, fast.busy_seconds], [busySeconds, busySeconds]);
    const mean = idleCount / (0.9 * idleSeconds) + busyCount / (0.9 * busySeconds);
    assert.ok(mean <= 180, `${mean} beats a second`);
  }
});

Deno.test("heartbeat() loses no worker that beats as it was told, however the fleet grows or shrinks meanwhile", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const becomes = (count: number) =>
    db.sql`update muster_private.scheduler_state set beating_count = ${count}, busy_count = ${count / 2}`;
  for (const kind of ["idle", "busy"]) {
    if (kind === "busy") await submit(db, tenant, {});
    const running = await worker.claim();
    for (const [told, meanwhile] of [[10, 10], [10, 40_000], [40_000, 40_000], [40_000, 10], [10, 10]] as const) {
      await becomes(told);
      const { resync, next_seconds } = await worker.heartbeat({ running });
      assert.equal(resync, false, `${kind}: told in a fleet of ${told}`);
      await becomes(meanwhile);
      // Two beats may be lost on their way.
      await db.advance(2.99 * next_seconds);
      assert.equal((await tick(db)).lost_workers, 0, `${kind}: ${told}, then ${meanwhile}`);
    }
  }
});

Deno.test("heartbeat() tells how soon to beat once there is a job, and a claim's lease goes by that", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await db.sql`update muster_private.scheduler_state set beating_count = 16000, busy_count = 16000`;
  assert.equal((await worker.heartbeat()).busy_seconds, 100);
  await submit(db, tenant, {}, {});
  await db.sql`update muster_private.scheduler_state set beating_count = 1, busy_count = 0`;
  const [first] = await worker.claim();
  await db.advance(299);
  assert.equal((await tick(db)).lost_workers, 0);
  await worker.complete([succeeded(first!)], 1);
  await db.advance(299);
  assert.equal((await tick(db)).lost_workers, 0);
  await db.advance(2);
  assert.equal((await tick(db)).lost_workers, 1);
});

Deno.test("heartbeat() wakes the workers of a large fleet 20 times a second at most, and calls none deaf for that", async () => {
  await using db = await TestDatabase.create();
  const worker = await createWorker(db, await createTenant(db), { listening: true });
  const wakes = async () => (await sentMessages(db)).filter((message) => message.event === "wake").length;
  const fleet = () => db.sql`update muster_private.scheduler_state set beating_count = 6000`;
  const before = await wakes();
  for (let seconds = 0; seconds < 280; seconds += 40) {
    await db.advance(40);
    await tick(db);
    await fleet();
    assert.equal((await worker.heartbeat({ listening: true })).deaf, false);
  }
  assert.equal(await wakes(), before);
  await db.advance(40);
  await tick(db);
  await fleet();
  await worker.heartbeat({ listening: true });
  assert.equal(await wakes(), before + 1);
});

Deno.test("heartbeat() starts what was pushed and claims up to want", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 3, listening: true });
  const [pushed] = await submit(db, tenant, { payload: 1 });
  assert.equal(pushed.status, "assigned");
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  const [waiting] = await submit(db, tenant, { payload: 2 });
  assert.equal(waiting.status, "queued");
  await db.sql`update muster.worker_devices set drain_requested_at = null, status = 'online'`;
  const none = await worker.heartbeat({ want: 0 });
  assert.deepEqual(none.jobs.map((job: Answer) => job.payload), [1]);
  const { jobs } = await worker.heartbeat({ running: none.jobs, want: 2 });
  assert.deepEqual(jobs.map((job: Answer) => job.payload), [2]);
});

Deno.test("heartbeat() hands over again what an answer was lost for, and gives it up after a while", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, { payload: "again" });
  await worker.claim();
  // A worker that waits 15 s for an answer beats without the job only then, and that answer may be lost, too.
  for (const seconds of [4, 12, 12]) {
    await db.advance(seconds);
    await tick(db);
    const { jobs } = await worker.heartbeat();
    assert.deepEqual(jobs.map((each: Answer) => [each.job_id, each.attempt, each.payload]), [[job.id, 1, "again"]]);
  }
  await db.advance(3);
  const late = await worker.heartbeat();
  assert.deepEqual(late.jobs, []);
  const requeued = await getJob(db, tenant, job.id);
  assert.deepEqual([requeued.status, requeued.worker_id], ["queued", null]);
});

Deno.test("heartbeat() tells what to stop: cancelled, replaced, unknown and other tenants' attempts", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const worker = await createWorker(db, tenant, { slots: 2 });
  const [gone, kept] = await submit(db, tenant, {}, {});
  const [foreign] = await submit(db, other, {});
  const held = await worker.claim(2);
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [gone.id] });
  const { stop } = await worker.heartbeat({
    running: [...held, { job_id: kept.id, attempt: 7 }, { job_id: foreign.id, attempt: 0 }],
  });
  const reasons = stop.map((each: Answer) => [each.job_id, each.attempt, each.reason]).sort();
  assert.deepEqual(reasons, [[gone.id, 1, "cancelled"], [kept.id, 7, "replaced"], [foreign.id, 0, "unknown"]].sort());
});

Deno.test("heartbeat() of a worker that counts as lost asks it to greet again and gives it nothing", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await db.advance(91);
  await tick(db);
  await submit(db, tenant, {});
  const answer = await worker.heartbeat({ want: 1 });
  assert.deepEqual([answer.resync, answer.jobs], [true, []]);
  assert.equal((await worker.hello()).status, "online");
  assert.equal((await worker.heartbeat({ want: 1 })).jobs.length, 1);
});

Deno.test("heartbeat() commands a drain until an operator ends it, and gives nothing meanwhile", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, {});
  await db.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  const drained = await worker.heartbeat({ want: 1 });
  assert.deepEqual([drained.commands, drained.jobs], [["drain"], []]);
  await db.call(service, "resume_worker", { caller: tenant.caller, worker_id: worker.id });
  const resumed = await worker.heartbeat({ want: 1 });
  assert.deepEqual([resumed.commands, resumed.jobs.length], [[], 1]);
});

Deno.test("heartbeat() of a worker that drains by itself shows it as draining, until it says otherwise", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const status = async () =>
    (await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker.id })).status;
  await submit(db, tenant, {});
  assert.deepEqual((await worker.heartbeat({ draining: true, want: 1 })).jobs, []);
  assert.equal(await status(), "draining");
  await worker.heartbeat();
  assert.equal(await status(), "online");
});

Deno.test("heartbeat() shows a worker that echoes no nonce as deaf, and serves it all the same", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  let deaf = false;
  for (let seconds = 0; seconds < 200 && !deaf; seconds += 30) {
    await db.advance(30);
    await tick(db);
    deaf = (await worker.heartbeat({ listening: true })).deaf;
  }
  assert.ok(deaf, "the worker is deaf after 200 s without an echo");
  assert.equal((await submit(db, tenant, {}))[0].status, "queued");
  assert.equal((await worker.heartbeat({ listening: true, want: 1 })).jobs.length, 1);
});

Deno.test("heartbeat() lets a worker hear again once it echoes the newest nonce", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  assert.equal((await worker.heartbeat({ listening: true })).deaf, true);
  const wake = (await sentMessages(db, channels.workerTasks(worker.id))).at(-1);
  assert.equal(wake!.event, "wake");
  assert.equal((await worker.heartbeat({ listening: true, wake_nonce: wake!.data.nonce })).deaf, false);
  assert.equal((await submit(db, tenant, {}))[0].status, "assigned");
});

Deno.test("heartbeat() keeps a listening worker's nonce fresh, one wake a minute at most", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { listening: true });
  await db.sql`delete from realtime.messages`;
  for (let seconds = 0; seconds < 300; seconds += 5) {
    await db.advance(5);
    await tick(db);
    const [row] = await db.sql`select wake_nonce from muster.worker_heartbeats`;
    assert.equal((await worker.heartbeat({ listening: true, wake_nonce: row!.wake_nonce })).deaf, false);
  }
  const wakes = await sentMessages(db);
  assert.ok(wakes.length >= 3 && wakes.length <= 5, `${wakes.length} wakes in five minutes`);
});

Deno.test("heartbeat() takes metrics and events along", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const running = await worker.claim();
  const events = [{ ...running[0], number: 1, kind: "progress", data: { fraction: 0.25, note: "a quarter" } }];
  await worker.heartbeat({ running, events, metrics: { cpu: 0.5 } });
  const { progress, progress_note } = await getJob(db, tenant, job.id);
  assert.deepEqual([progress, progress_note], [0.25, "a quarter"]);
  const shown = await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker.id });
  assert.deepEqual(shown.metrics, { cpu: 0.5 });
  await worker.heartbeat({ running });
  const still = await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker.id });
  assert.deepEqual(still.metrics, { cpu: 0.5 });
});

Deno.test("heartbeat() runs a late tick", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [worker, silent] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  await submit(db, tenant, {});
  const [lost] = await silent.claim();
  await db.advance(16);
  for (let n = 0; n < 3; n++) {
    const { jobs, next_seconds } = await worker.heartbeat({ want: 1 });
    if (jobs.length > 0) return assert.deepEqual([jobs[0].job_id, jobs[0].attempt], [lost!.job_id, 2]);
    assert.equal(next_seconds, 0);
  }
  assert.fail("The job of the silent worker was not handed over");
});

Deno.test("heartbeat() refuses misuse and keeps nothing of it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const attempt = { job_id: crypto.randomUUID(), attempt: 1 };
  const bad: Record<string, Args> = {
    "running null": { running: null },
    "running as an object": { running: {} },
    "running of 257": { running: Array.from({ length: 257 }, () => attempt) },
    "running with an id that is no UUID": { running: [{ job_id: "x", attempt: 1 }] },
    "running of strings": { running: ["x"] },
    "running with an attempt over all bounds": { running: [{ ...attempt, attempt: 1e12 }] },
    "events as an object": { running: [], events: {} },
    "501 events": {
      running: [],
      events: Array.from({ length: 501 }, (_, n) => ({ ...attempt, number: n, kind: "log", data: {} })),
    },
    "an event of an unknown kind": { running: [], events: [{ ...attempt, number: 1, kind: "status", data: {} }] },
    "metrics of a megabyte": { running: [], metrics: { x: "x".repeat(1_000_000) } },
    "metrics that are no object": { running: [], metrics: [1] },
  };
  await eachRefused(bad, (args) => db.call(worker.actor, "heartbeat", args));
  assert.deepEqual(
    (await db.call(worker.actor, "heartbeat", {
      running: [],
      events: null,
      want: null,
      listening: null,
      draining: null,
    })).jobs,
    [],
  );
});
