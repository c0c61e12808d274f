import assert from "node:assert/strict";
import {
  type Assignment,
  createTenant,
  createWorker,
  failed,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
} from "../support/actors.ts";
import { Connections, overlap, type Step } from "../support/connections.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";
import { placeJobs } from "../support/places.ts";

type Scene = { db: TestDatabase; tenant: TestTenant; worker: TestWorker; held: Assignment; artifact: Answer };

const sha256 = "0".repeat(64);
const tick = (db: TestDatabase): Promise<Answer> => db.call(service, "tick");
const cancel = ({ db, tenant, held }: Scene): Promise<Answer> =>
  db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [held.job_id] });

/** Ways in which a job that a worker runs comes to its end. */
const ends: Record<string, (scene: Scene) => Promise<unknown>> = {
  "it succeeded": ({ worker, held }) => worker.complete([succeeded(held, "first")]),
  "it failed for good": ({ worker, held }) => worker.complete([failed(held, { retryable: false, message: "first" })]),
  "it was cancelled": cancel,
  "its attempt took too long": async ({ db, worker, held }) => {
    await db.advance(3);
    await worker.heartbeat({ running: [held] });
    await tick(db);
  },
  "its worker was lost": async ({ db }) => {
    await db.advance(16);
    await tick(db);
  },
  "its total time was over": async ({ db }) => {
    await db.sql`update muster.jobs set expires_at = ${await db.now()} + interval '1 second' where finished_at is null`;
    await placeJobs(db.sql);
    await db.advance(2);
    await tick(db);
  },
};

/** What may come later, and what it must be answered; the job has to stay exactly as it is. */
const afterwards: Record<string, (scene: Scene, end: string) => Promise<unknown>> = {
  "the worker reports success": async ({ worker, held }, end) => {
    const { outcomes } = await worker.complete([succeeded(held, "late")]);
    assert.equal(outcomes[0].outcome, end === "it succeeded" ? "accepted" : "stale");
  },
  "the worker reports failure": async ({ worker, held }) => {
    const { outcomes } = await worker.complete([failed(held, { message: "late" })]);
    assert.equal(outcomes[0].outcome, "stale");
  },
  "the worker repeats its report of failure": async ({ worker, held }, end) => {
    const { outcomes } = await worker.complete([failed(held, { retryable: false, message: "first" })]);
    assert.equal(outcomes[0].outcome, end === "it failed for good" ? "accepted" : "stale");
  },
  "another worker reports success": async ({ db, tenant, held }) => {
    const other = await createWorker(db, tenant);
    assert.equal((await other.complete([succeeded(held, "stolen")])).outcomes[0].outcome, "stale");
  },
  "an attempt that never was reports success": async ({ worker, held }) => {
    for (const attempt of [0, 2, -1]) {
      const { outcomes } = await worker.complete([succeeded({ ...held, attempt }, "late")]);
      assert.equal(outcomes[0].outcome, "stale");
    }
  },
  "it is cancelled": async (scene) => {
    const { jobs } = await cancel(scene);
    assert.equal(jobs.length, 1);
  },
  "time passes": async ({ db }) => {
    // Less than the day after which a file that was never finished is given up.
    await db.advance(80_000);
    await tick(db);
  },
  "its worker says goodbye": ({ db, worker }) => db.call(worker.actor, "goodbye"),
  "its worker comes back with it": async ({ worker, held }) => {
    const { stop } = await worker.hello({}, [held]);
    assert.deepEqual(stop.map((item: Answer) => item.job_id), [held.job_id]);
  },
  "its worker comes back without it": ({ worker }) => worker.hello(),
  "its worker is revoked": ({ db, tenant, worker }) =>
    db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id }),
  "the worker reports events": async ({ db, worker, held }) => {
    const events = [{ ...attemptOf(held), number: 7, kind: "progress", data: { fraction: 0.5, note: "late" } }];
    assert.deepEqual(await db.call(worker.actor, "report_events", { events }), {
      accepted: 0,
      stale: [attemptOf(held)],
    });
  },
  "the worker beats with it and its events": async ({ worker, held }) => {
    const events = [{ ...attemptOf(held), number: 7, kind: "log", data: { message: "late" } }];
    const beat = await worker.heartbeat({ running: [held], events });
    assert.ok(beat.resync || beat.stop.length === 1, "it is told to stop");
  },
  "the worker announces an artifact": ({ db, worker, held }) =>
    assert.rejects(announce(db, worker, held), { code: "MU006" }),
  "the worker finishes an artifact": ({ db, artifact }) =>
    assert.rejects(db.call(service, "finish_artifact", { artifact_id: artifact.id, size_bytes: 1, sha256 }), {
      code: "MU006",
    }),
  "it is retried, as a new job": async ({ db, tenant, held }, end) => {
    const retried = db.call(service, "retry_job", { caller: tenant.caller, job_id: held.job_id });
    if (end === "it succeeded") return await assert.rejects(retried, { code: "MU008" });
    assert.notEqual((await retried).id, held.job_id);
  },
  "the owner of the tables writes to it": async ({ db, held }) => {
    const changes = [
      "status = 'queued', finished_at = null, worker_id = null",
      "status = case status when 'failed' then 'cancelled' else 'failed' end::muster.job_status",
      `result = '"forged"'`,
      "error = '{}'",
      "attempts = attempts + 1",
      "finished_at = finished_at + interval '1 second'",
    ];
    for (const change of changes) {
      const write = db.sql.begin(async (sql) => {
        await sql`set local role postgres`;
        await sql.unsafe(`update muster.jobs set ${change} where id = $1`, [held.job_id]);
      });
      await assert.rejects(write, { code: "MU008" }, change);
    }
  },
  "an app with the secret key writes to it": async ({ db, held }) => {
    const write = db.sql.begin(async (sql) => {
      await sql`set local role service_role`;
      await sql`update muster.jobs set status = 'queued' where id = ${held.job_id}`;
    });
    await assert.rejects(write, { code: "42501" });
  },
};

for (const [end, act] of Object.entries(ends)) {
  Deno.test(`a job stays as it ended when ${end}, and later`, async (t) => {
    await using db = await TestDatabase.create();
    for (const [name, later] of Object.entries(afterwards)) {
      await t.step(name, async () => {
        const scene = await arrange(db);
        await act(scene);
        const before = await look(scene);
        assert.match(before.job.status, /^(succeeded|failed|cancelled)$/);
        await later(scene, end);
        assert.deepEqual(await look(scene), before);
      });
    }
    assert.deepEqual(await violations(db.sql), []);
  });
}

Deno.test("of two ends that come at once the first to commit stands", async (t) => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 3);
  const racing: Record<string, (scene: Scene) => Step> = {
    success: ({ worker, held }) => (tx) => tx.call(worker.actor, "complete_jobs", { results: [succeeded(held)] }),
    failure: ({ worker, held }) => (tx) =>
      tx.call(worker.actor, "complete_jobs", { results: [failed(held, { retryable: false })] }),
    cancelled: ({ tenant, held }) => (tx) =>
      tx.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [held.job_id] }),
    "timed out": () => (tx) => tx.call(service, "tick"),
    revoked: ({ tenant, worker }) => (tx) =>
      tx.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id }),
  };
  const codes: Record<string, string> = {
    failure: "test",
    cancelled: "cancelled",
    "timed out": "attempt_timeout",
    revoked: "worker_lost",
  };
  for (const [winner, first] of Object.entries(racing)) {
    for (const [loser, second] of Object.entries(racing)) {
      if (winner === loser) continue;
      await t.step(`${winner} before ${loser}`, async () => {
        const scene = await arrange(db);
        await db.advance(3);
        await overlap(db, connections, first(scene), second(scene)).catch((error) => {
          // The worker that lost against its revocation is told so.
          if (winner !== "revoked" || error.code !== "MU014") throw error;
        });
        const { job } = await look(scene);
        assert.equal(job.status, { success: "succeeded", cancelled: "cancelled" }[winner] ?? "failed");
        assert.equal(job.error?.code, codes[winner]);
      });
    }
  }
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("the result of a current attempt counts beside that of an older attempt in the same report", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, {});
  const [older] = await worker.claim();
  await worker.hello();
  const [current] = await worker.claim();
  assert.deepEqual([older!.attempt, current!.attempt], [1, 2]);
  const { outcomes } = await worker.complete([succeeded(older!, "old"), succeeded(current!, "new")]);
  assert.deepEqual(outcomes.map((item: Answer) => item.outcome), ["stale", "accepted"]);
  const [job] = await db.sql`select status, result from muster.jobs`;
  assert.deepEqual([job!.status, job!.result], ["succeeded", "new"]);
});

Deno.test("an older attempt can change nothing while a newer one runs", async () => {
  await using db = await TestDatabase.create();
  const scene = await arrange(db, { max_attempts: 3 });
  await db.advance(16);
  await tick(db);
  const rescuer = await createWorker(db, scene.tenant);
  const [taken] = await rescuer.claim();
  assert.equal(taken!.attempt, 2);
  await scene.worker.hello({ capabilities: ["other"] });
  const before = await look(scene);
  for (
    const name of [
      "the worker reports success",
      "the worker reports failure",
      "the worker reports events",
      "the worker beats with it and its events",
      "the worker announces an artifact",
      "the worker finishes an artifact",
      "its worker comes back with it",
      "its worker says goodbye",
    ]
  ) {
    await afterwards[name]!(scene, "");
    assert.deepEqual(await look(scene), before, name);
  }
  assert.equal((await rescuer.complete([succeeded(taken!, "won")])).outcomes[0].outcome, "accepted");
  assert.deepEqual(await violations(db.sql), []);
});

Deno.test("a worker that runs a job again cannot speak for its own older attempt", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker, held, artifact } = await arrange(db, { max_attempts: 3, attempt_timeout_seconds: 60 });
  await worker.hello();
  const [current] = await worker.claim();
  assert.deepEqual([current!.job_id, current!.attempt], [held.job_id, 2]);
  const scene = { db, tenant, worker, held, artifact };
  const before = await look(scene);
  for (const status of ["succeeded", "failed"]) {
    const { outcomes } = await worker.complete([{ ...attemptOf(held), status, result: "late" }]);
    assert.equal(outcomes[0].outcome, "stale");
  }
  await afterwards["the worker reports events"]!(scene, "");
  const events = [{ ...attemptOf(held), number: 7, kind: "log", data: {} }];
  const beat = await worker.heartbeat({ running: [held, current], events });
  assert.deepEqual(beat.stop.map(({ attempt }: Answer) => attempt), [1]);
  await afterwards["the worker announces an artifact"]!(scene, "");
  await afterwards["the worker finishes an artifact"]!(scene, "");
  assert.deepEqual(await look(scene), before);
  assert.equal((await worker.complete([succeeded(current!, "won")])).outcomes[0].outcome, "accepted");
});

/** A worker that runs the only attempt of a job, and has announced a file. */
async function arrange(db: TestDatabase, job: Args = {}): Promise<Scene> {
  await tick(db);
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, { max_attempts: 1, attempt_timeout_seconds: 2, ...job });
  const [held] = await worker.claim();
  return { db, tenant, worker, held: held!, artifact: await announce(db, worker, held!) };
}

function announce(db: TestDatabase, worker: TestWorker, held: Assignment): Promise<Answer> {
  const artifact = { name: "out.txt", size_bytes: 1, sha256, ...attemptOf(held) };
  return db.call(worker.actor, "create_artifact", { caller: null, artifact });
}

function attemptOf({ job_id, attempt }: Assignment): Args {
  return { job_id, attempt };
}

async function look({ db, held }: Scene): Promise<{ job: Answer; events: Answer[]; artifacts: Answer[] }> {
  const [job] = await db.sql`select * from muster.jobs where id = ${held.job_id}`;
  const events = await db.sql`select * from muster.job_events where job_id = ${held.job_id} order by sequence`;
  const artifacts = await db.sql`select * from muster.artifacts where job_id = ${held.job_id} order by id`;
  return { job, events: [...events], artifacts: [...artifacts] };
}
