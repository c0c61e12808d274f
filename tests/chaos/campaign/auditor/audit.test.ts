import assert from "node:assert/strict";
import type postgres from "postgres";
import { type TestWorker } from "../../../support/actors.ts";
import { placeJobs } from "../../../support/places.ts";
import { SmallRun } from "./small-run.ts";
import type { ViolationKind } from "./violation.ts";

Deno.test("the auditor finds nothing wrong with a run in which nothing went wrong", async () => {
  await using stage = await SmallRun.create();
  const first = await stage.life("a");
  const failing = await stage.submit("b", { retry_base_seconds: 0 });
  const { job, attempt, execution } = await stage.begin();
  await stage.workers.one.heartbeat({
    running: [{ job_id: job, attempt }],
    events: [{ job_id: job, attempt, number: 1, kind: "progress", data: { fraction: 0.5, note: execution } }],
  });
  stage.journal("one").write({ did: "end", job, attempt, execution, outcome: "failed" });
  const error = { code: "campaign_failure", message: "on purpose", details: { execution } };
  await stage.workers.one.complete([{ job_id: job, attempt, status: "failed", error }]);
  await stage.end(await stage.begin("two"), "two");
  await stage.submit("of blue", {}, "blue");
  await stage.end(await stage.begin("blue"), "blue");
  const red = { app: "app-red", tenant: "tenant-red" };
  stage.journal("app-red").write({ did: "look", ...red, jobs: [first, failing] });
  stage.journal("app-red").write({ did: "peek", ...red, job: first, got: null, code: "not_found" });
  assert.deepEqual(await stage.judge(), []);
});

Deno.test("the auditor notices that its record of changes has a gap", async () => {
  await using stage = await SmallRun.create();
  const jobId = await stage.life("a");
  await stage.forgetLastCommit();
  const what = "the log ends with running, attempt 1 of it";
  assert.deepEqual(await stage.judge(), [{ kind: "unproven", what, jobId }]);
});

interface Planted {
  readonly what: string;
  readonly kind: ViolationKind;
  readonly says: RegExp;
  /** Does the wrong thing; answers the job that has to be named, if one has. */
  readonly plant: (stage: SmallRun) => Promise<string | void>;
}

const planted: readonly Planted[] = [
  {
    what: "a job whose row is gone",
    kind: "lost",
    says: /row was deleted/,
    async plant(stage) {
      const id = await stage.life("a");
      await stage.force((tx) => tx`delete from muster.jobs where id = ${id}`);
      return id;
    },
  },
  {
    what: "an answered job that was never stored",
    kind: "lost",
    says: /does not exist/,
    plant(stage) {
      const [job, said] = [crypto.randomUUID(), { app: "app-red", tenant: "tenant-red", key: stage.key("a") }];
      stage.journal("app-red").write({ did: "submit", ...said, job, created: true });
      return Promise.resolve(job);
    },
  },
  {
    what: "a submission without an answer",
    kind: "lost",
    says: /never answered/,
    plant(stage) {
      stage.journal("app-red").write({ did: "ask", app: "app-red", tenant: "tenant-red", key: stage.key("a") });
      return Promise.resolve();
    },
  },
  {
    what: "an end that is not among the events",
    kind: "lost",
    says: /no end among its events/,
    async plant(stage) {
      const id = await stage.life("a");
      await stage.force((tx) => tx`select muster_private.store_told_events(${[id]}::uuid[])`);
      await stage.force((tx) =>
        tx`delete from muster.stored_events where job_id = ${id} and data ->> 'status' = 'succeeded'`
      );
      return id;
    },
  },
  {
    what: "a job that never ended",
    kind: "lost",
    says: /still queued/,
    plant: (stage) => stage.submit("a"),
  },
  {
    what: "a terminal state that changed",
    kind: "doubled",
    says: /was succeeded, then failed/,
    async plant(stage) {
      const id = await stage.life("a");
      await stage.force((tx) => tx`update muster.jobs set status = 'failed' where id = ${id}`);
      return id;
    },
  },
  {
    what: "a terminal state that changed and changed back",
    kind: "doubled",
    says: /was succeeded, then cancelled/,
    async plant(stage) {
      const id = await stage.life("a");
      await stage.force((tx) => tx`update muster.jobs set status = 'cancelled' where id = ${id}`);
      await stage.force((tx) => tx`update muster.jobs set status = 'succeeded' where id = ${id}`);
      return id;
    },
  },
  {
    what: "two ends on record",
    kind: "doubled",
    says: /2 ends among its events/,
    async plant(stage) {
      const id = await stage.life("a");
      await stage.force((tx) =>
        tx`insert into muster.stored_events (job_id, sequence, tenant_id, attempt, kind, data, created_at)
          select job_id, sequence + 1, tenant_id, attempt, kind, data, created_at from muster.job_events
          where job_id = ${id} and data ->> 'status' = 'succeeded'`
      );
      return id;
    },
  },
  {
    what: "a key answered as two jobs",
    kind: "doubled",
    says: /was answered as .* and/,
    async plant(stage) {
      await stage.life("a");
      const other = await stage.life("b");
      const said = { app: "app-blue", tenant: "tenant-red", key: stage.key("a") };
      stage.journal("app-blue").write({ did: "submit", ...said, job: other, created: false });
    },
  },
  {
    what: "a job nobody handed in",
    kind: "doubled",
    says: /nobody handed in/,
    async plant(stage) {
      const id = await stage.life("a");
      await stage.force((tx) => tx`update muster.jobs set idempotency_key = 'b' where id = ${id}`);
      return id;
    },
  },
  {
    what: "an attempt given to two workers",
    kind: "doubled",
    says: /two workers were given attempt 1/,
    async plant(stage) {
      const id = await stage.submit("a");
      const begun = await stage.begin();
      const [one, two] = [stage.workers.one.id, stage.workers.two.id];
      await stage.force((tx) => tx`update muster.jobs set worker_id = ${two} where id = ${id}`);
      await stage.force((tx) => tx`update muster.jobs set worker_id = ${one} where id = ${id}`);
      await stage.end(begun);
      return id;
    },
  },
  {
    what: "an attempt started twice",
    kind: "doubled",
    says: /attempt 1 was started twice/,
    async plant(stage) {
      const id = await stage.submit("a");
      const begun = await stage.begin();
      await stage.force((tx) => tx`update muster.jobs set status = 'assigned' where id = ${id}`);
      await stage.force((tx) => tx`update muster.jobs set status = 'running' where id = ${id}`);
      await stage.end(begun);
      return id;
    },
  },
  {
    what: "an app that was told another end",
    kind: "doubled",
    says: /told failed, and it is succeeded/,
    async plant(stage) {
      const id = await stage.life("a");
      const said = { app: "app-red", tenant: "tenant-red", job: id };
      stage.journal("app-red").write({ did: "hear", ...said, status: "failed", execution: null });
      return id;
    },
  },
  {
    what: "an app that was told another result",
    kind: "doubled",
    says: /told another result/,
    async plant(stage) {
      const id = await stage.life("a");
      const said = { app: "app-red", tenant: "tenant-red", job: id };
      stage.journal("app-red").write({ did: "hear", ...said, status: "succeeded", execution: "another" });
      return id;
    },
  },
  {
    what: "a second job of a key",
    kind: "doubled",
    says: /is also job/,
    async plant(stage) {
      await stage.life("a");
      const other = await stage.life("b");
      // Nothing can be handed in after this: it stands last.
      await stage.force(async (tx) => {
        await tx`drop index muster.jobs_idempotency_key_idx`;
        await tx`update muster.jobs set idempotency_key = ${stage.key("a")} where id = ${other}`;
      });
    },
  },
  {
    what: "a result that nobody worked out",
    kind: "unproven",
    says: /in no worker's journal/,
    async plant(stage) {
      const id = await stage.submit("a");
      await stage.end({ ...await stage.begin(), execution: "forged" });
      return id;
    },
  },
  {
    what: "a result that another worker worked out",
    kind: "unproven",
    says: /which did not hold it/,
    async plant(stage) {
      const id = await stage.submit("a");
      const begun = await stage.begin("two");
      stage.journal("two").write({ did: "end", ...begun, outcome: "succeeded" });
      const { one } = stage.workers;
      await stage.force((tx) => tx`update muster.jobs set worker_id = ${one.id} where id = ${id}`);
      await stage.force(placeJobs);
      const { job: job_id, attempt, execution } = begun;
      await one.complete([{ job_id, attempt, status: "succeeded", result: { execution } }]);
      return id;
    },
  },
  {
    what: "a success on record that was a failure",
    kind: "unproven",
    says: /the journal says failed/,
    async plant(stage) {
      const id = await stage.submit("a");
      const begun = await stage.begin();
      stage.journal("one").write({ did: "end", ...begun, outcome: "failed" });
      const { job: job_id, attempt, execution } = begun;
      await stage.workers.one.complete([{ job_id, attempt, status: "succeeded", result: { execution } }]);
      return id;
    },
  },
  {
    what: "progress that nobody made",
    kind: "unproven",
    says: /event 3 comes from "liar"/,
    async plant(stage) {
      const id = await stage.submit("a");
      const begun = await stage.begin();
      const { job: job_id, attempt } = begun;
      await stage.workers.one.heartbeat({
        running: [{ job_id, attempt }],
        events: [{ job_id, attempt, number: 1, kind: "progress", data: { fraction: 0.5, note: "liar" } }],
      });
      await stage.end(begun);
      return id;
    },
  },
  {
    what: "a late result kept from a worker that never held the attempt",
    kind: "unproven",
    says: /is kept from .*, which did not hold it/,
    async plant(stage) {
      const id = await stage.life("a");
      await stage.force((tx) =>
        tx`insert into muster.late_results (job_id, attempt, tenant_id, worker_id, status, received_at)
          select id, 1, tenant_id, ${stage.workers.two.id}, 'failed', now() from muster.jobs where id = ${id}`
      );
      return id;
    },
  },
  {
    what: "an event of an attempt that was over",
    kind: "stale",
    says: /of attempt 1, which was over/,
    async plant(stage) {
      const id = await stage.submit("a");
      const begun = await stage.begin();
      await stage.end(begun);
      await stage.force((tx) =>
        tx`insert into muster.stored_events (job_id, sequence, tenant_id, attempt, number, kind, data, created_at)
          select job_id, sequence + 1, tenant_id, attempt, 9, 'progress', ${
          tx.json({ note: begun.execution })
        }, created_at
          from muster.job_events where job_id = ${id} and data ->> 'status' = 'succeeded'`
      );
      return id;
    },
  },
  {
    what: "a forged completion that was accepted",
    kind: "stale",
    says: /ended an attempt it did not hold/,
    async plant(stage) {
      const id = await stage.life("a");
      const got = { outcomes: [{ job_id: id, attempt: 1, outcome: "accepted" }] };
      stage.journal("liar").write({ did: "forge", got });
      return id;
    },
  },
  {
    what: "a forged completion that only a constraint stopped",
    kind: "stale",
    says: /got as far as a constraint/,
    plant(stage) {
      stage.journal("liar").write({ did: "forge", got: { code: "23514", message: "violates check constraint" } });
      return Promise.resolve();
    },
  },
  {
    what: "a flood that was accepted",
    kind: "stale",
    says: /told 3 events/,
    plant(stage) {
      stage.journal("liar").write({ did: "flood", accepted: 3 });
      return Promise.resolve();
    },
  },
  {
    what: "a worker that held more than its slots for a moment",
    kind: "limit",
    says: /holds 2 of 1/,
    async plant(stage) {
      const id = await stage.submit("a");
      const begun = await stage.begin("liar");
      const other = await stage.submit("b");
      const { one, liar } = stage.workers;
      const second = await stage.begin("one");
      const give = (to: TestWorker) => (tx: postgres.TransactionSql) =>
        tx`update muster.jobs set worker_id = ${to.id}, attempts = attempts + 1 where id = ${other}`;
      await stage.force(give(liar));
      await stage.force(give(one));
      await stage.force(placeJobs);
      await stage.end(begun, "liar");
      const again = { ...second, attempt: 3, execution: crypto.randomUUID() };
      stage.journal("one").write({ did: "begin", ...again, tenant: "tenant-red" });
      await stage.end(again);
      assert.equal(id, begun.job);
      return other;
    },
  },
  {
    what: "a concurrency key above its limit for a moment",
    kind: "limit",
    says: /runs 2 of 1/,
    async plant(stage) {
      await stage.submit("a", { concurrency_key: "limit-1-of-1", concurrency_limit: 2 });
      await stage.submit("b", { concurrency_key: "limit-1-of-1", concurrency_limit: 2 });
      await stage.force((tx) => tx`update muster.concurrency_keys set max_running = 2`);
      const begun = [await stage.begin(), await stage.begin()];
      for (const each of begun) await stage.end(each);
      return begun[1]!.job;
    },
  },
  {
    what: "a job given to a worker of another tenant",
    kind: "tenant",
    says: /given to blue of tenant-blue/,
    async plant(stage) {
      const id = await stage.submit("a");
      const begun = await stage.begin();
      const { one, blue } = stage.workers;
      await stage.force((tx) => tx`update muster.jobs set worker_id = ${blue.id} where id = ${id}`);
      await stage.force((tx) => tx`update muster.jobs set worker_id = ${one.id} where id = ${id}`);
      await stage.end(begun);
      return id;
    },
  },
  {
    what: "a worker that began a job of another tenant",
    kind: "tenant",
    says: /blue of tenant-blue began it/,
    async plant(stage) {
      const id = await stage.life("a");
      stage.journal("blue").write({ did: "begin", job: id, attempt: 1, execution: "x", tenant: "tenant-red" });
      return id;
    },
  },
  {
    what: "an app that was shown a job of another tenant",
    kind: "tenant",
    says: /app-blue of tenant-blue was shown it/,
    async plant(stage) {
      const id = await stage.life("a");
      stage.journal("app-blue").write({ did: "look", app: "app-blue", tenant: "tenant-blue", jobs: [id] });
      return id;
    },
  },
  {
    what: "an app that got a job of another tenant",
    kind: "tenant",
    says: /got it when it asked/,
    async plant(stage) {
      const id = await stage.life("a");
      stage.journal("app-blue").write({ did: "peek", app: "app-blue", tenant: "tenant-blue", job: id, got: { id } });
      return id;
    },
  },
  {
    what: "a lying worker that was shown another tenant's data",
    kind: "tenant",
    says: /shown data of tenant-blue/,
    plant(stage) {
      stage.journal("liar").write({
        did: "reach",
        path: "hello",
        got: { jobs: [{ payload: { key: "tenant-blue-1" } }] },
      });
      return Promise.resolve();
    },
  },
  {
    what: "a lying worker that was shown rows",
    kind: "tenant",
    says: /shown rows at \/rest\/v1\/jobs/,
    plant(stage) {
      stage.journal("liar").write({ did: "reach", path: "/rest/v1/jobs", got: [{ id: crypto.randomUUID() }] });
      return Promise.resolve();
    },
  },
  {
    what: "a lying worker that was let into a channel",
    kind: "tenant",
    says: /let into job:1/,
    plant(stage) {
      const heard = [{ event: "phx_reply", payload: { status: "ok" } }];
      stage.journal("liar").write({ did: "listen", topic: "job:1", heard });
      return Promise.resolve();
    },
  },
];

// One database a kind: what is planted there stays apart by the keys of its jobs.
for (const kind of new Set(planted.map(({ kind }) => kind))) {
  Deno.test(`the auditor reports what is planted as ${kind}`, async (t) => {
    await using stage = await SmallRun.create();
    const cases = planted.filter((each) => each.kind === kind);
    const jobIds: (string | void)[] = [];
    for (const { plant } of cases) jobIds.push(await stage.scene(() => plant(stage)));
    const violations = await stage.judge();
    for (const [index, { what, says }] of cases.entries()) {
      await t.step(what, () => {
        const jobId = jobIds[index];
        const found = violations.find((each) =>
          each.kind === kind && says.test(each.what) && (jobId === undefined || each.jobId === jobId)
        );
        assert.ok(found, `not among ${JSON.stringify(violations)}`);
      });
    }
  });
}
