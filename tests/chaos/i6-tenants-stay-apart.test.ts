import assert from "node:assert/strict";
import {
  type Assignment,
  createMember,
  createTenant,
  createWorker,
  submit,
  type TestTenant,
  type TestWorker,
} from "../support/actors.ts";
import { type Actor, type Answer, type Args, service, TestDatabase } from "../support/database.ts";

const sha256 = "0".repeat(64);

/** A tenant with all that another might want: jobs in each state, a file for a job, a file by a job, a worker. */
type Estate = {
  tenant: TestTenant;
  worker: TestWorker;
  held: Assignment;
  queued: string;
  ended: string;
  input: string;
  output: string;
};

type Stranger = { tenant: TestTenant; worker: TestWorker; member: Args; caller: Args[] };

async function createEstate(db: TestDatabase): Promise<Estate> {
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const file = { name: "secret.txt", size_bytes: 1, sha256 };
  const input = (await db.call(service, "create_artifact", { caller: tenant.caller, artifact: file })).id;
  await db.call(service, "finish_artifact", { artifact_id: input, size_bytes: 1, sha256 });
  await submit(db, tenant, {
    payload: { secret: true },
    inputs: [input],
    correlation_id: "secret",
    concurrency_key: "secret",
  });
  const [held] = await worker.claim();
  const output = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...file, job_id: held!.job_id, attempt: held!.attempt },
  });
  const [queued, ended] = await submit(db, tenant, { idempotency_key: "secret" }, { requires: ["nobody"] });
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [ended.id] });
  return { tenant, worker, held: held!, queued: queued.id, ended: ended.id, input, output: output.id };
}

async function createStranger(db: TestDatabase): Promise<Stranger> {
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const { caller: member } = await createMember(db, tenant, "admin");
  return { tenant, worker, member, caller: [tenant.caller, member, { kind: "service", tenant_id: tenant.id }] };
}

/** Every row of a tenant, as text: it may not change. */
async function inventory(db: TestDatabase, tenantId: string): Promise<string> {
  const tables = await db.sql`
    select table_name from information_schema.columns
    where table_schema = 'muster' and column_name = 'tenant_id' order by table_name`;
  const parts: string[] = [];
  for (const { table_name: table } of tables) {
    // When a key was last used is noted for whoever uses it.
    const rows = await db.sql.unsafe(
      `select to_jsonb(t) - 'last_used_at' as row from muster.${table} t where tenant_id = $1 order by 1`,
      [tenantId],
    );
    parts.push(...rows.map(({ row }) => `${table} ${JSON.stringify(row)}`));
  }
  return parts.join("\n");
}

/** What an app, member or operator of another tenant may try with the ids of an estate. */
const byCaller: Record<string, (estate: Estate) => Args> = {
  "get_job of a held job": ({ held }) => ({ job_id: held.job_id }),
  "get_job of a queued job": ({ queued }) => ({ job_id: queued }),
  "list_job_events": ({ held }) => ({ job_id: held.job_id }),
  "cancel_jobs": ({ held, queued }) => ({ job_ids: [held.job_id, queued] }),
  "retry_job": ({ ended }) => ({ job_id: ended }),
  "submit_jobs with its input": ({ input }) => ({ jobs: [{ type: "test", inputs: [input] }] }),
  "submit_jobs with its output": ({ output }) => ({ jobs: [{ type: "test", inputs: [output] }] }),
  "get_artifact of an input": ({ input }) => ({ artifact_id: input }),
  "get_artifact of an output": ({ output }) => ({ artifact_id: output }),
  "authorize_artifact_finish of an input": ({ input }) => ({ artifact_id: input }),
  "authorize_artifact_finish of an output": ({ output }) => ({ artifact_id: output }),
  "list_artifacts": ({ held }) => ({ job_id: held.job_id }),
  "get_worker": ({ worker }) => ({ worker_id: worker.id }),
  "drain_worker": ({ worker }) => ({ worker_id: worker.id }),
  "resume_worker": ({ worker }) => ({ worker_id: worker.id }),
  "revoke_worker": ({ worker }) => ({ worker_id: worker.id }),
};

Deno.test("whoever acts for another tenant finds nothing of this one and changes nothing in it", async (t) => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const stranger = await createStranger(db);
  const before = await inventory(db, estate.tenant.id);
  for (const [name, args] of Object.entries(byCaller)) {
    await t.step(name, async () => {
      for (const caller of stranger.caller) {
        const code = name === "revoke_worker" && caller.kind === "api_key" ? "MU002" : "MU003";
        const call = db.call(service, name.split(" ")[0]!, { caller, ...args(estate) });
        await assert.rejects(call, { code }, `as ${caller.kind}`);
      }
      assert.equal(await inventory(db, estate.tenant.id), before);
    });
  }
});

Deno.test("lists of another tenant name nothing of this one, whatever they filter by", async () => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const stranger = await createStranger(db);
  const filters = [
    {},
    { status: ["running", "queued", "cancelled"] },
    { type: "test" },
    { worker_id: estate.worker.id },
    { correlation_id: "secret" },
    { idempotency_key: "secret" },
  ];
  for (const caller of stranger.caller) {
    for (const filter of filters) {
      assert.deepEqual((await db.call(service, "list_jobs", { caller, filters: filter })).jobs, []);
    }
    const { workers } = await db.call(service, "list_workers", { caller, filters: {} });
    assert.deepEqual(workers.map((worker: Answer) => worker.id), [stranger.worker.id]);
  }
  const foreign = { caller: stranger.tenant.caller, filters: { tenant_id: estate.tenant.id } };
  await assert.rejects(db.call(service, "list_jobs", foreign), { code: "MU004" });
  const own = await db.call(service, "list_jobs", { caller: estate.tenant.caller, filters: {}, page_size: 1 });
  const next = { caller: stranger.tenant.caller, filters: {}, cursor: own.next_cursor };
  assert.deepEqual((await db.call(service, "list_jobs", next)).jobs, [], "with a cursor of the other tenant");
});

Deno.test("a caller cannot name a tenant it does not belong to", async () => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const stranger = await createStranger(db);
  const asMember = { ...stranger.member, tenant_id: estate.tenant.id };
  await assert.rejects(db.call(service, "list_jobs", { caller: asMember }), { code: "MU002" });
  const asKey = { ...stranger.tenant.caller, tenant_id: estate.tenant.id };
  await assert.rejects(db.call(service, "list_jobs", { caller: asKey }), { code: "MU002" });
});

Deno.test("keys for idempotency and concurrency of another tenant touch nothing here", async () => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const stranger = await createStranger(db);
  const before = await inventory(db, estate.tenant.id);
  const [job] = await submit(db, stranger.tenant, {
    idempotency_key: "secret",
    concurrency_key: "secret",
    concurrency_limit: 9,
  });
  assert.equal(job.tenant_id, stranger.tenant.id);
  assert.notEqual(job.id, estate.queued);
  assert.equal(job.status, "queued", "the key is held in the other tenant only");
  assert.equal(await inventory(db, estate.tenant.id), before);
});

/** What a worker may try with the attempt, job or file of a job that it does not hold. */
const byWorker: Record<string, (db: TestDatabase, actor: Actor, estate: Estate) => Promise<void>> = {
  "complete_jobs() of its attempt": async (db, actor, { held }) => {
    const results = ["succeeded", "failed"].map((status) => ({ ...attemptOf(held), status, result: "forged" }));
    const { outcomes } = await db.call(actor, "complete_jobs", { results });
    assert.deepEqual(outcomes.map((item: Answer) => item.outcome), ["stale", "stale"]);
  },
  "report_events() for its attempt": async (db, actor, { held }) => {
    const events = [{ ...attemptOf(held), number: 1, kind: "progress", data: { fraction: 1 } }];
    assert.deepEqual(await db.call(actor, "report_events", { events }), { accepted: 0, stale: [attemptOf(held)] });
  },
  "heartbeat() that claims to run it": async (db, actor, { held }) => {
    const events = [{ ...attemptOf(held), number: 1, kind: "log", data: {} }];
    const beat = await db.call(actor, "heartbeat", { running: [attemptOf(held)], events });
    assert.equal(JSON.stringify(beat).includes("secret"), false);
    assert.deepEqual([beat.jobs, beat.stop.length], [[], 1]);
  },
  "hello() that claims to run it": async (db, actor, { held }) => {
    const greeting = await db.call(actor, "hello", { worker: { capabilities: ["none"] }, running: [attemptOf(held)] });
    assert.deepEqual([greeting.jobs, greeting.stop.length], [[], 1]);
  },
  "create_artifact() for its attempt": async (db, actor, { held }) => {
    const artifact = { name: "forged.txt", size_bytes: 1, sha256, ...attemptOf(held) };
    await assert.rejects(db.call(actor, "create_artifact", { caller: null, artifact }), { code: "MU006" });
  },
  "create_artifact() as if it were an app": async (db, actor, { tenant }) => {
    const artifact = { name: "forged.txt", size_bytes: 1, sha256 };
    await assert.rejects(db.call(actor, "create_artifact", { caller: tenant.caller, artifact }), { code: "MU006" });
  },
  "get_artifact() of its files": async (db, actor, { input, output, tenant }) => {
    for (const artifact_id of [input, output]) {
      for (const caller of [null, tenant.caller, { kind: "service", tenant_id: tenant.id }]) {
        await assert.rejects(db.call(actor, "get_artifact", { caller, artifact_id }), { code: "MU003" });
      }
    }
  },
  "authorize_artifact_finish() of its files": async (db, actor, { input, output, tenant }) => {
    for (const artifact_id of [input, output]) {
      const call = db.call(actor, "authorize_artifact_finish", { caller: tenant.caller, artifact_id });
      await assert.rejects(call, { code: "MU003" });
    }
  },
  "functions that are not for workers": async (db, actor, { tenant, held, output, worker }) => {
    const tries: [string, Args][] = [
      ["get_job", { caller: tenant.caller, job_id: held.job_id }],
      ["cancel_jobs", { caller: tenant.caller, job_ids: [held.job_id] }],
      ["finish_artifact", { artifact_id: output, size_bytes: 1, sha256 }],
      ["reject_artifact", { artifact_id: output, reason: "forged" }],
      ["get_worker", { caller: tenant.caller, worker_id: worker.id }],
      ["tick", {}],
    ];
    for (const [name, args] of tries) await assert.rejects(db.call(actor, name, args), { code: "42501" }, name);
  },
  "the tables": async (db, actor) => {
    const tables = await db.sql`select table_name from information_schema.tables where table_schema = 'muster'`;
    for (const { table_name: table } of tables) {
      const read = db.sql.begin(async (sql) => {
        await sql`select set_config('request.jwt.claims', ${
          JSON.stringify(actor.claims)
        }, true), set_config('role', ${actor.role}, true)`;
        return await sql.unsafe(`select * from muster.${table}`);
      });
      await assert.rejects(read, { code: "42501" }, table);
    }
  },
};

for (const whose of ["another tenant", "the same tenant, that does not hold the job,"]) {
  Deno.test(`a worker of ${whose} reads and writes nothing of the job`, async (t) => {
    await using db = await TestDatabase.create();
    const estate = await createEstate(db);
    const tenant = whose === "another tenant" ? (await createStranger(db)).tenant : estate.tenant;
    const outsider = await createWorker(db, tenant, { capabilities: ["none"], online: false });
    // Serves no class, so that it gets no job by right.
    await outsider.hello({ capabilities: ["none"] });
    await db.sql`delete from muster.worker_classes where worker_id = ${outsider.id}`;
    for (const [name, attempt] of Object.entries(byWorker)) {
      await t.step(name, async () => {
        const before = await sealed(db, estate, outsider);
        await attempt(db, outsider.actor, estate);
        assert.equal(await sealed(db, estate, outsider), before);
      });
    }
  });
}

Deno.test("a token whose claims do not fit together is nobody's", async () => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const { worker } = await createStranger(db);
  const claims = worker.actor.claims!;
  const other = estate.worker.actor.claims!;
  for (
    const forged of [
      { ...claims, tenant_id: estate.tenant.id },
      { ...claims, sub: estate.worker.id },
      { ...claims, sub: estate.worker.id, tenant_id: estate.tenant.id },
      { ...other, cnf: claims.cnf },
      { ...other, cnf: undefined },
      { ...other, cnf: {} },
      { ...other, role: "authenticated" },
    ]
  ) {
    const actor: Actor = { role: "muster_worker", claims: forged };
    await assert.rejects(db.call(actor, "claim_jobs"), { code: "MU001" }, JSON.stringify(forged));
  }
});

Deno.test("a device key renews the token of its own worker only", async () => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const { worker } = await createStranger(db);
  const { cnf } = worker.actor.claims as { cnf: { jkt: string } };
  const proof = { fingerprint: cnf.jkt, proof_jti: crypto.randomUUID(), proof_expires_at: "2100-01-01T00:00:00Z" };
  const foreign = db.call(service, "refresh_worker", { worker_id: estate.worker.id, ...proof });
  await assert.rejects(foreign, { code: "MU012" });
  assert.equal((await db.call(service, "refresh_worker", { worker_id: worker.id, ...proof })).worker_id, worker.id);
});

Deno.test("a device key that is enrolled in another tenant becomes a worker of its own there", async () => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const { tenant } = await createStranger(db);
  const { cnf } = estate.worker.actor.claims as { cnf: { jkt: string } };
  const before = await inventory(db, estate.tenant.id);
  await db.call(service, "create_enrollment_token", { tenant_id: tenant.id, name: "theirs", token_hash: sha256 });
  const enrolled = await db.call(service, "enroll_worker", {
    token_hash: sha256,
    worker: {
      name: "theirs",
      public_jwk: { kty: "EC" },
      fingerprint: cnf.jkt,
      capabilities: [],
      proof_jti: crypto.randomUUID(),
      proof_expires_at: "2100-01-01T00:00:00Z",
    },
  });
  assert.equal(enrolled.tenant_id, tenant.id);
  assert.notEqual(enrolled.worker_id, estate.worker.id);
  assert.equal(await inventory(db, estate.tenant.id), before);
});

Deno.test("a worker is never given a job of another tenant, whatever it can do", async () => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const stranger = await createTenant(db);
  const eager = await createWorker(db, stranger, {
    capabilities: ["compute/basic", "nobody"],
    slots: 9,
    listening: true,
  });
  await db.call(service, "tick");
  assert.deepEqual(await eager.claim(9), []);
  const [job] = await submit(db, estate.tenant, { requires: ["nobody"] });
  assert.equal(job.status, "queued");
  assert.deepEqual((await eager.heartbeat({ want: 9 })).jobs, []);
  const rows = await db.sql`
    select from muster.worker_classes wc join muster.job_classes c on c.id = wc.class_id where wc.tenant_id <> c.tenant_id`;
  assert.equal(rows.length, 0);
});

Deno.test("a member and an executor's token see their own tenant's rows only", async () => {
  await using db = await TestDatabase.create();
  const estate = await createEstate(db);
  const stranger = await createStranger(db);
  const readers: Actor[] = [
    { role: "authenticated", claims: { role: "authenticated", sub: stranger.member.user_id } },
    {
      role: "muster_client",
      claims: { role: "muster_client", sub: stranger.tenant.executorId, tenant_id: stranger.tenant.id },
    },
    {
      role: "muster_client",
      claims: { role: "muster_client", sub: stranger.tenant.executorId, tenant_id: estate.tenant.id },
    },
    {
      role: "muster_client",
      claims: { role: "muster_client", sub: estate.tenant.executorId, tenant_id: stranger.tenant.id },
    },
  ];
  const tables = await db.sql`
    select table_name from information_schema.columns where table_schema = 'muster' and column_name = 'tenant_id'`;
  for (const reader of readers) {
    for (const { table_name: table } of tables) {
      const rows = await db.sql.begin(async (sql) => {
        await sql`select set_config('request.jwt.claims', ${
          JSON.stringify(reader.claims)
        }, true), set_config('role', ${reader.role}, true)`;
        return await sql.unsafe(`select tenant_id from muster.${table} where tenant_id = $1`, [estate.tenant.id]);
      }).catch((error) => {
        assert.equal(error.code, "42501");
        return [];
      });
      assert.equal(rows.length, 0, `${reader.role} reads ${table}`);
    }
  }
});

function attemptOf({ job_id, attempt }: Assignment): Args {
  return { job_id, attempt };
}

/** All of the estate but what the outsider itself is: in the same tenant, its own rows may change. */
async function sealed(db: TestDatabase, estate: Estate, outsider: TestWorker): Promise<string> {
  const lines = (await inventory(db, estate.tenant.id)).split("\n");
  return lines.filter((line) => !line.includes(outsider.id)).join("\n");
}
