import assert from "node:assert/strict";
import {
  ciphertextOf,
  createInput,
  createMember,
  createSecret,
  createTenant,
  createUser,
  createWorker,
  refused,
  sha256,
  submit,
  type TestTenant,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { createSchedule } from "../support/schedules.ts";

type World = {
  tenant: TestTenant;
  schedule: Answer;
  job: Answer;
  ended: Answer;
  batch: Answer;
  worker: Answer;
  artifact: Answer;
  pending: Answer;
  key: Answer;
  token: Answer;
  memberId: string;
  outsiderId: string;
};

/** Functions that take a caller, with arguments with which an allowed one succeeds. */
const functions: Record<string, { args: (world: World) => Args }> = {
  submit_jobs: { args: () => ({ jobs: [{ type: "test" }] }) },
  get_job: { args: ({ job }) => ({ job_id: job.id }) },
  list_jobs: { args: () => ({}) },
  list_job_events: { args: ({ job }) => ({ job_id: job.id }) },
  cancel_jobs: { args: ({ job }) => ({ job_ids: [job.id] }) },
  retry_job: { args: ({ ended }) => ({ job_id: ended.id }) },
  create_schedule: {
    args: () => ({ schedule: { name: crypto.randomUUID(), cron: "@daily", job: { type: "test" } } }),
  },
  change_schedule: { args: ({ schedule }) => ({ schedule_id: schedule.id, changes: { cron: "@daily" } }) },
  pause_schedule: { args: ({ schedule }) => ({ schedule_id: schedule.id }) },
  resume_schedule: { args: ({ schedule }) => ({ schedule_id: schedule.id }) },
  delete_schedule: { args: ({ schedule }) => ({ schedule_id: schedule.id }) },
  get_schedule: { args: ({ schedule }) => ({ schedule_id: schedule.id }) },
  run_schedule: { args: ({ schedule }) => ({ schedule_id: schedule.id }) },
  list_schedules: { args: () => ({}) },
  preview_schedule: { args: () => ({ cron: "@daily" }) },
  close_batch: { args: ({ batch }) => ({ job_id: batch.id }) },
  list_concurrency_keys: { args: () => ({}) },
  set_concurrency_key: { args: () => ({ key: "printer", max_running: 1 }) },
  list_rate_limits: { args: () => ({}) },
  list_dead_letters: { args: () => ({}) },
  replay_dead_letters: { args: () => ({ filter: {} }) },
  dismiss_dead_letters: { args: () => ({ filter: {} }) },
  create_artifact: {
    args: () => ({ artifact: { name: "a", size_bytes: 1, sha256: "0".repeat(64) } }),
  },
  get_artifact: { args: ({ artifact }) => ({ artifact_id: artifact.id }) },
  authorize_artifact_finish: { args: ({ pending }) => ({ artifact_id: pending.id }) },
  list_artifacts: { args: ({ job }) => ({ job_id: job.id }) },
  get_limits: { args: () => ({}) },
  get_load: { args: () => ({}) },
  list_workers: { args: () => ({}) },
  get_worker: { args: ({ worker }) => ({ worker_id: worker.id }) },
  drain_worker: { args: ({ worker }) => ({ worker_id: worker.id }) },
  cordon_worker: { args: ({ worker }) => ({ worker_id: worker.id }) },
  uncordon_worker: { args: ({ worker }) => ({ worker_id: worker.id }) },
  list_resources: { args: () => ({}) },
  explain_job: { args: ({ job }) => ({ job_id: job.id }) },
  explain_submission: { args: () => ({ job: { type: "test" } }) },
  rebind_job: { args: ({ job }) => ({ job_id: job.id, worker_id: null }) },
  resume_worker: { args: ({ worker }) => ({ worker_id: worker.id }) },
  list_audit: { args: () => ({}) },
  verify_audit: { args: () => ({}) },
  prepare_secret: { args: () => ({ name: "NEW" }) },
  set_secret: {
    args: () => ({
      secret: { name: "NEW", version: 1, ciphertext: ciphertextOf(), key_id: "k1", allowed_types: ["test"] },
    }),
  },
  list_secrets: { args: () => ({}) },
  delete_secret: { args: () => ({ name: "OLD" }) },
  set_measured_capabilities: { args: ({ worker }) => ({ worker_id: worker.id, capabilities: ["a"] }) },
  revoke_worker: { args: ({ worker }) => ({ worker_id: worker.id }) },
  issue_api_key: {
    args: () => ({ executor_name: "app", key_prefix: "msk_test", key_hash: sha256(crypto.randomUUID()) }),
  },
  list_api_keys: { args: () => ({}) },
  rotate_api_key: {
    args: ({ key }) => ({ key_id: key.id, key_prefix: "msk_test", key_hash: sha256(crypto.randomUUID()) }),
  },
  revoke_api_key: { args: ({ key }) => ({ key_id: key.id }) },
  issue_enrollment_token: {
    args: () => ({ name: "lab", token_hash: sha256(crypto.randomUUID()) }),
  },
  list_enrollment_tokens: { args: () => ({}) },
  revoke_enrollment_token: { args: ({ token }) => ({ token_id: token.id }) },
  list_members: { args: () => ({}) },
  add_member: { args: ({ outsiderId }) => ({ role: "viewer", user_id: outsiderId }) },
  change_member_role: { args: ({ memberId }) => ({ user_id: memberId, role: "editor" }) },
  remove_member: { args: ({ memberId }) => ({ user_id: memberId }) },
};

/** Functions that say for themselves who may call them; each has a test file of its own. */
const ownRules = [
  "authorize_client",
  "authorize_secrets",
  "bootstrap_tenant",
  "charge_refusal",
  "list_tenants",
  "set_audit_retention",
  "set_limits",
];

Deno.test("every function that takes a caller is in the table of what it needs", async () => {
  await using db = await TestDatabase.create();
  const rows = await db.sql`
    select p.proname as name from pg_proc p
    where p.pronamespace = 'muster'::regnamespace and p.proargnames[1] = 'caller' order by 1`;
  assert.deepEqual(rows.map((row) => row.name), [...Object.keys(functions), ...ownRules].sort());
});

Deno.test("every function refuses a caller that is nobody with unauthenticated", async () => {
  await using db = await TestDatabase.create();
  const world = await createWorld(db);
  const now = await db.now();
  const expired = await createKey(db, world.tenant, { expires_at: now.toISOString() });
  const revoked = await createKey(db, world.tenant);
  await db.sql`update muster.api_keys set revoked_at = ${now} where hash = ${revoked.hash as string}`;
  const nobodies: Record<string, unknown> = {
    "null": null,
    "an empty object": {},
    "an unknown kind": { kind: "root" },
    "a kind in capitals": { kind: "SERVICE", tenant_id: world.tenant.id },
    "an array": [],
    "a string": "service",
    "a number": 1,
    "an API key without a hash": { kind: "api_key" },
    "an API key with a null hash": { kind: "api_key", hash: null },
    "an unknown API key": { kind: "api_key", hash: "0".repeat(64) },
    "an expired API key": expired,
    "a revoked API key": revoked,
  };
  for (const [what, caller] of Object.entries(nobodies)) {
    for (const [name, { args }] of Object.entries(functions)) {
      await refused(db.call(service, name, { caller, ...args(world) }), "MU001", `${name} by ${what}`);
    }
  }
});

Deno.test("every function refuses a user who is no member of the named tenant, or of any", async () => {
  await using db = await TestDatabase.create();
  const world = await createWorld(db);
  const { userId } = await createMember(db, await createTenant(db), "admin");
  const strangers: Args[] = [
    { kind: "member", user_id: crypto.randomUUID() },
    { kind: "member", user_id: crypto.randomUUID(), tenant_id: world.tenant.id },
    { kind: "member", user_id: userId, tenant_id: world.tenant.id },
    { kind: "member", user_id: userId, tenant_id: crypto.randomUUID() },
    { kind: "member", tenant_id: world.tenant.id },
  ];
  for (const caller of strangers) {
    for (const [name, { args }] of Object.entries(functions)) {
      await refused(
        db.call(service, name, { caller, ...args(world) }),
        "MU002",
        `${name} by ${JSON.stringify(caller)}`,
      );
    }
  }
});

Deno.test("every function refuses the secret key without a tenant that exists", async () => {
  await using db = await TestDatabase.create();
  const world = await createWorld(db);
  for (const [name, { args }] of Object.entries(functions)) {
    const by = (tenant_id: unknown) =>
      db.call(service, name, { caller: { kind: "service", tenant_id }, ...args(world) });
    await refused(by(crypto.randomUUID()), "MU003", name);
    // The load of all tenants is the one thing that belongs to no tenant.
    if (name !== "get_load") await refused(by(null), "MU003", name);
    await refused(by("not-a-uuid"), "MU004", name);
  }
});

Deno.test("every function that names a thing says not_found for another tenant's, for an unknown one and for null", async () => {
  await using db = await TestDatabase.create();
  const [world, foreign] = [await createWorld(db), await createWorld(db)];
  for (const [name, { args }] of Object.entries(functions)) {
    const [key, value] = Object.entries(args(foreign))[0] ?? [];
    if (key === undefined || !/_ids?$/.test(key)) continue;
    const wrap = (id: string | null) => ({ ...args(world), [key]: Array.isArray(value) ? [id] : id });
    const messages: string[] = [];
    for (const id of [[value].flat()[0] as string, crypto.randomUUID(), null]) {
      const before = await snapshot(db);
      const error = await refused(
        db.call(service, name, { caller: world.tenant.caller, ...wrap(id) }).catch((error) => {
          // An API key may not revoke at all; a caller who may must get the same answer.
          if (error.code !== "MU002") throw error;
          return db.call(service, name, { caller: { kind: "service", tenant_id: world.tenant.id }, ...wrap(id) });
        }),
        "MU003",
        `${name}(${id})`,
      );
      messages.push(error.message.replaceAll(String(id), "…"));
      assert.deepEqual(await snapshot(db), before, `${name} changed something`);
    }
    assert.equal(messages[0], messages[1], `${name} tells a foreign ${key} from an unknown one`);
  }
});

Deno.test("a member of several tenants who names none acts in the one joined first", async () => {
  await using db = await TestDatabase.create();
  const [first, second] = [await createTenant(db), await createTenant(db)];
  const { userId } = await createMember(db, second, "admin");
  await db.sql`
    insert into muster.members (tenant_id, user_id, role, created_at)
    values (${first.id}, ${userId}, 'admin', ${new Date((await db.now()).getTime() - 1000)})`;
  const answer = await db.call(service, "submit_jobs", {
    caller: { kind: "member", user_id: userId },
    jobs: [{ type: "test" }],
  });
  assert.equal(answer.jobs[0].job.tenant_id, first.id);
});

Deno.test("the use of an API key is noted once a minute", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const usedAt = async () => {
    await db.call(service, "list_jobs", { caller: tenant.caller });
    const [row] = await db.sql`select last_used_at from muster.api_keys where hash = ${tenant.caller.hash as string}`;
    return row!.last_used_at.getTime();
  };
  const start = await usedAt();
  assert.equal(start, (await db.now()).getTime());
  await db.advance(59);
  assert.equal(await usedAt(), start);
  await db.advance(2);
  assert.equal(await usedAt(), (await db.now()).getTime());
});

async function createWorld(db: TestDatabase): Promise<World> {
  const tenant = await createTenant(db);
  const [job, ended] = await submit(db, tenant, {}, {});
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [ended.id] });
  const { batch } = await db.call(service, "submit_jobs", { caller: tenant.caller, jobs: [], batch: { open: true } });
  const artifact = await createInput(db, tenant);
  const pending = await db.call(service, "create_artifact", {
    caller: tenant.caller,
    artifact: { name: "b", size_bytes: 1, sha256: "0".repeat(64) },
  });
  await createSecret(db, tenant, "OLD");
  const key = await db.call(service, "create_api_key", {
    tenant_id: tenant.id,
    executor_name: "other app",
    key_prefix: "msk_test",
    key_hash: sha256(crypto.randomUUID()),
  });
  const token = await db.call(service, "create_enrollment_token", {
    tenant_id: tenant.id,
    name: "lab",
    token_hash: sha256(crypto.randomUUID()),
  });
  const [{ userId: memberId }, outsiderId] = [await createMember(db, tenant, "viewer"), await createUser(db)];
  const worker = await createWorker(db, tenant);
  const schedule = await createSchedule(db, tenant);
  return { tenant, job, ended, batch, schedule, artifact, pending, worker, key, token, memberId, outsiderId };
}

async function createKey(db: TestDatabase, tenant: TestTenant, options: Args = {}): Promise<Args> {
  const hash = crypto.randomUUID().replaceAll("-", "").repeat(2);
  await db.call(service, "create_api_key", {
    tenant_id: tenant.id,
    executor_name: "app",
    key_prefix: "msk_test",
    key_hash: hash,
    ...options,
  });
  return { kind: "api_key", hash };
}

/** Everything that a refused call must leave as it was. */
function snapshot(db: TestDatabase): Promise<unknown> {
  const tables = [
    "muster.jobs",
    "muster.job_events",
    "muster.artifacts",
    "muster.worker_devices",
    "muster.members",
    "muster.enrollment_tokens",
    "muster.audit_log",
    "muster_private.audit_inbox",
  ];
  return Promise.all(
    tables.map(async (table) => [...await db.sql.unsafe(`select t::text from ${table} t order by 1`)]),
  );
}
