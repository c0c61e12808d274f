import assert from "node:assert/strict";
import {
  auditEntries,
  createInput,
  createMember,
  createTenant,
  createWorker,
  failed,
  fileOf,
  refused,
  submit,
  succeeded,
  tick,
} from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("entries are sealed by the tick, numbered from 1 without gaps, each with the hash of the one before", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  for (let n = 0; n < 5; n++) await note(db, tenant.id, `test.${n}`);
  await note(db, other.id, "test.other");
  assert.deepEqual([...await db.sql`select from muster.audit_log`], []);
  await tick(db);
  assert.deepEqual([...await db.sql`select from muster_private.audit_inbox`], []);
  const rows = await db
    .sql`select seq::integer, action, encode(hash, 'hex') as hash, encode(previous_hash, 'hex') as previous
    from muster.audit_log where tenant_id = ${tenant.id} order by seq`;
  assert.deepEqual(rows.map(({ seq }) => seq), [1, 2, 3, 4, 5, 6, 7]);
  assert.deepEqual(rows.map(({ action }) => action).slice(2), ["test.0", "test.1", "test.2", "test.3", "test.4"]);
  assert.deepEqual(rows.map(({ previous }) => previous), [
    "0".repeat(64),
    ...rows.map(({ hash }) => hash).slice(0, -1),
  ]);
  assert.equal(new Set(rows.map(({ hash }) => hash)).size, 7);
  const others = await db.sql`select action from muster.audit_log where tenant_id = ${other.id} order by seq`;
  assert.deepEqual(others.map(({ action }) => action), ["tenant.created", "api_key.created", "test.other"]);
});

Deno.test("what was rolled back is not in the log", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await using tx = await db.transaction();
  await tx.call(service, "drain_worker", { caller: tenant.caller, worker_id: worker.id });
  await tx.rollback();
  assert.deepEqual(await auditEntries(db, tenant, "worker.drained"), []);
});

Deno.test("nobody changes, deletes or truncates the log, not even its owner", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await tick(db);
  for (
    const statement of [
      "update muster.audit_log set data = '{}'",
      "delete from muster.audit_log",
      `delete from muster.audit_log where tenant_id = '${tenant.id}'`,
      "truncate muster.audit_log",
      "truncate muster.audit_log, muster.tenants cascade",
    ]
  ) {
    for (const role of ["postgres", "supabase_admin"]) {
      const tried = db.sql.begin(async (tx) => {
        await tx`select set_config('role', ${role}, true)`;
        await tx.unsafe(statement);
      });
      await refused(tried, "MU008", `${role}: ${statement}`);
    }
  }
  await assert.rejects(
    db.sql.begin(async (tx) => {
      await tx`set local role service_role`;
      await tx`insert into muster.audit_log select * from muster.audit_log`;
    }),
    { code: "42501" },
  );
});

Deno.test("the log of a tenant that is deleted stays, and still verifies", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await tick(db);
  await db.sql`delete from muster.tenants where id = ${tenant.id}`;
  const rows = await db.sql`select action from muster.audit_log where tenant_id = ${tenant.id}`;
  assert.deepEqual(rows.map(({ action }) => action), ["tenant.created", "api_key.created"]);
});

Deno.test("every status change of a job is in the log, with who was behind it", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { slots: 2 });
  const { caller, userId } = await createMember(db, tenant, "editor");
  const [key] = await db.sql`select id from muster.api_keys`;
  const [one, two] = await submit(db, tenant, { max_attempts: 1 }, {});
  const [first, second] = await worker.claim(2);
  await worker.complete([failed(first!)]);
  await db.call(service, "cancel_jobs", { caller, job_ids: [two.id] });
  const [lost] = await submit(db, tenant, {});
  await worker.claim(1);
  await db.advance(16);
  await tick(db);

  const entries = await auditEntries(db, tenant, "jobs.changed");
  const told = entries.map(({ actor, data: { since: _, jobs, ...change } }) => [actor, change, jobs]);
  const byKey = { kind: "api_key", id: key!.id, executor_id: tenant.executorId };
  const byWorker = { kind: "worker", id: worker.id };
  assert.equal(second!.job_id, two.id);
  assert.deepEqual(told, [
    [byKey, { status: "queued", attempt: 0 }, [one.id, two.id, lost.id]],
    [byWorker, { status: "running", attempt: 1, worker_id: worker.id }, [one.id, two.id, lost.id]],
    [byWorker, { status: "failed", attempt: 1, worker_id: worker.id }, [one.id]],
    [{ kind: "member", id: userId }, { status: "cancelled", attempt: 1, worker_id: worker.id }, [two.id]],
    [{ kind: "system" }, { status: "queued", attempt: 1 }, [lost.id]],
  ]);
});

Deno.test("an entry for jobs tells of the change and nothing of what a job carries", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await submit(db, tenant, { payload: { password: "planted-secret" }, correlation_id: "planted-secret" });
  const [claimed] = await worker.claim();
  await worker.complete([failed(claimed!, { message: "planted-secret", retryable: false })]);
  await submit(db, tenant, {});
  await worker.complete([succeeded((await worker.claim())[0]!, "planted-secret")]);
  assert.ok(!JSON.stringify(await auditEntries(db, tenant)).includes("planted-secret"));
});

Deno.test("a thousand jobs of one call are two entries of 500", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await submit(db, tenant, ...Array.from({ length: 1000 }, () => ({})));
  const entries = await auditEntries(db, tenant, "jobs.changed");
  assert.deepEqual(entries.map(({ data }) => data.jobs.length), [500, 500]);
  assert.equal(new Set(entries.flatMap(({ data }) => data.jobs)).size, 1000);
});

Deno.test("files are in the log: announced, finished, rejected, read, and by whom", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const input = await createInput(db, tenant);
  await submit(db, tenant, { inputs: [input.id] });
  const [claimed] = await worker.claim();
  const { job_id, attempt } = claimed!;
  await db.call(worker.actor, "get_artifact", { caller: null, artifact_id: input.id });
  const file = fileOf("result");
  const output = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...file, job_id, attempt },
  });
  const { size_bytes, sha256 } = file;
  await db.call(service, "finish_artifact", { artifact_id: output.id, size_bytes, sha256 });
  const bad = await db.call(worker.actor, "create_artifact", { caller: null, artifact: { ...file, job_id, attempt } });
  await db.call(service, "reject_artifact", { artifact_id: bad.id, reason: "not it" });
  const { caller, userId } = await createMember(db, tenant, "viewer");
  await db.call(service, "get_artifact", { caller, artifact_id: output.id });
  await refused(db.call(worker.actor, "get_artifact", { caller: null, artifact_id: crypto.randomUUID() }), "MU003");

  const entries = await auditEntries(db, tenant, "artifact.");
  const ofAttempt = { job_id, attempt };
  assert.deepEqual(entries.map(({ actor, action, subject, data }) => [actor.kind, actor.id, action, subject, data]), [
    ["api_key", entries[0].actor.id, "artifact.created", input.id, {}],
    ["executor", tenant.executorId, "artifact.finished", input.id, {}],
    ["worker", worker.id, "artifact.read", input.id, {}],
    ["worker", worker.id, "artifact.created", output.id, ofAttempt],
    ["worker", worker.id, "artifact.finished", output.id, ofAttempt],
    ["worker", worker.id, "artifact.created", bad.id, ofAttempt],
    ["worker", worker.id, "artifact.rejected", bad.id, ofAttempt],
    ["member", userId, "artifact.read", output.id, ofAttempt],
  ]);
});

Deno.test("tick() seals what each of many tenants has, and one tenant's broken log neither stops it nor the others", async () => {
  await using db = await TestDatabase.create();
  const tenants = [];
  for (let n = 0; n < 6; n++) tenants.push(await createTenant(db));
  const broken = tenants[3]!;
  // An entry that no sealing made stands where the next one belongs.
  await db.sql`insert into muster.audit_log (tenant_id, seq, actor, action, subject, created_at, previous_hash, hash)
    values (${broken.id}, 1, '{}', 'made.up', '', now(), sha256(''), sha256(''))`;
  assert.equal((await tick(db)).ran, true);
  const left = await db.sql`select distinct tenant_id from muster_private.audit_inbox`;
  assert.deepEqual(left.map(({ tenant_id }) => tenant_id), [broken.id]);
});

Deno.test("tick() seals for a thousand tenants at most, as many locks as Postgres has room for, and the next goes on", async () => {
  await using db = await TestDatabase.create();
  await db
    .sql`select muster_private.audit(gen_random_uuid(), '{}', 'test.done', n::text) from generate_series(1, 1100) n`;
  const left = async () => (await db.sql`select from muster_private.audit_inbox`).length;
  await tick(db);
  assert.equal(await left(), 100);
  await tick(db);
  assert.equal(await left(), 0);
});

Deno.test("entries past their retention are pruned by the tick, a piece at a time, and the rest still verifies", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const caller = { kind: "service", tenant_id: tenant.id };
  await db.sql`select muster_private.audit(${tenant.id}, '{}', 'test.old', n::text) from generate_series(1, 2998) n`;
  await tick(db);
  await db.advance(200 * 86400, { asOutage: true });
  await note(db, tenant.id, "test.young");
  await tick(db);
  const { head } = await db.call(service, "verify_audit", { caller });
  assert.equal(head.seq, 3001);

  await db.advance(201 * 86400, { asOutage: true });
  const left = async () => {
    const [row] = await db.sql`select min(seq)::integer as first, count(*)::integer as count from muster.audit_log`;
    return [row!.first, row!.count];
  };
  await tick(db);
  assert.deepEqual(await left(), [2001, 1001]);
  const half = await db.call(service, "verify_audit", { caller, head });
  assert.deepEqual([half.intact, half.checked, half.checkpoint.seq], [true, 1001, 2000]);
  await tick(db);
  await tick(db);
  assert.deepEqual(await left(), [3001, 1]);
  const rest = await db.call(service, "verify_audit", { caller, head });
  assert.deepEqual([rest.intact, rest.checked, rest.head, rest.checkpoint.seq], [true, 1, head, 3000]);

  await db.advance(400 * 86400, { asOutage: true });
  await tick(db);
  assert.deepEqual(await left(), [null, 0]);
  const emptied = await db.call(service, "verify_audit", { caller, head });
  assert.deepEqual([emptied.intact, emptied.checked, emptied.head, emptied.checkpoint], [true, 0, head, head]);
  await note(db, tenant.id, "test.next");
  assert.deepEqual((await auditEntries(db, tenant)).map(({ seq, action }) => [seq, action]), [[3002, "test.next"]]);
  assert.equal((await db.call(service, "verify_audit", { caller, head })).intact, true);
});

Deno.test("set_audit_retention() is the project's to call, is bounded, noted, and counts for entries that are there", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const caller = { kind: "service", tenant_id: tenant.id };
  const { caller: admin } = await createMember(db, tenant, "admin");
  await tick(db);
  const set = (by: unknown, days: unknown) => db.call(service, "set_audit_retention", { caller: by, days });
  await refused(set(admin, 30), "MU002");
  for (const days of [29, 3651, 0, -1, null]) await refused(set(caller, days), "MU004", String(days));
  assert.deepEqual(await set(caller, 30), { retention_days: 30 });
  const [entry] = await auditEntries(db, tenant, "audit.");
  assert.deepEqual([entry.action, entry.data], ["audit.retention_changed", { from_days: 400, to_days: 30 }]);
  assert.equal((await db.call(service, "verify_audit", { caller })).retention_days, 30);
  await db.advance(31 * 86400, { asOutage: true });
  await tick(db);
  assert.deepEqual(await auditEntries(db, tenant), []);
});

function note(db: TestDatabase, tenantId: string, action: string): Promise<unknown> {
  return db.sql`select muster_private.audit(${tenantId}, '{"kind": "system"}', ${action}, 'something')`;
}
