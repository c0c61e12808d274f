import assert from "node:assert/strict";
import {
  clientOf,
  createInput,
  createMember,
  createSecret,
  createTenant,
  createWorker,
  failed,
  queryAs,
  sha256,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  userOf,
} from "../support/actors.ts";
import { type Actor, type Answer, service, TestDatabase } from "../support/database.ts";
import { Queue } from "../support/pgmq.ts";
import { createSchedule } from "../support/schedules.ts";

/** Tables of which a member sees the rows of its tenants, and those of which it sees nothing. */
const seenByMembers = [
  "affinities",
  "artifacts",
  "dead_letters",
  "executors",
  "job_dependencies",
  "job_events",
  "job_inputs",
  "jobs",
  "late_results",
  "members",
  "queue_bridges",
  "resource_holders",
  "schedules",
  "stored_events",
  "tenant_limits",
  "tenants",
  "worker_devices",
  "worker_heartbeats",
];
const seenByAdmins = [...seenByMembers, "audit_log"].sort();

Deno.test("a member sees the rows of its own tenant and of no other", async () => {
  await using db = await TestDatabase.create();
  const { tenant } = await createWorld(db);
  await createWorld(db);
  for (const role of ["viewer", "publisher", "editor", "admin"] as const) {
    const { actor } = await createMember(db, tenant, role);
    const seen = await countRows(db, actor);
    const own = await countRowsOf(db, tenant);
    for (const [table, count] of Object.entries(own)) assert.ok(count > 0, `the test fills ${table}`);
    const expected = role === "admin" ? seenByAdmins : seenByMembers;
    assert.deepEqual(Object.keys(seen).sort(), expected, role);
    for (const table of expected) assert.equal(seen[table], own[table], `${role} sees ${table}`);
  }
});

Deno.test("a member of two tenants sees the rows of both", async () => {
  await using db = await TestDatabase.create();
  const [one, two] = [await createWorld(db), await createWorld(db)];
  await createWorld(db);
  const { actor, userId } = await createMember(db, one.tenant, "viewer");
  await db.sql`insert into muster.members (tenant_id, user_id, role) values (${two.tenant.id}, ${userId}, 'viewer')`;
  const rows = await queryAs(db, actor, "select distinct tenant_id from muster.jobs");
  assert.deepEqual(rows.map((row) => row.tenant_id).sort(), [one.tenant.id, two.tenant.id].sort());
});

Deno.test("an outsider, a removed member and a token without a user see nothing at all", async () => {
  await using db = await TestDatabase.create();
  const { tenant } = await createWorld(db);
  const { actor: removed, userId } = await createMember(db, tenant, "admin");
  await db.sql`delete from muster.members where user_id = ${userId}`;
  const anonymous: Actor = { role: "authenticated", claims: { role: "authenticated" } };
  for (const actor of [userOf(), removed, anonymous]) assert.deepEqual(await countRows(db, actor), {});
});

Deno.test("a member cannot write a row of any table", async () => {
  await using db = await TestDatabase.create();
  const { tenant } = await createWorld(db);
  const { actor } = await createMember(db, tenant, "admin");
  for (const table of await tablesOf(db)) {
    for (const statement of [`delete from ${table}`, `insert into ${table} default values`, `truncate ${table}`]) {
      await assert.rejects(queryAs(db, actor, statement), { code: "42501" }, statement);
    }
  }
  await assert.rejects(queryAs(db, actor, `update muster.members set role = 'admin'`), { code: "42501" });
});

Deno.test("a client token sees the jobs of its executor and their events, and nothing else", async () => {
  await using db = await TestDatabase.create();
  const { tenant, jobs } = await createWorld(db);
  const sibling = await createExecutor(db, tenant);
  await submit(db, sibling, {}, {});
  await createWorld(db);

  const client = clientOf(tenant.id, tenant.executorId);
  const seen = await queryAs(db, client, "select id from muster.jobs");
  assert.deepEqual(seen.map((row) => row.id).sort(), jobs.map((job) => job.id).sort());
  const events = await queryAs(db, client, "select distinct job_id from muster.job_events");
  assert.deepEqual(events.map((row) => row.job_id).sort(), jobs.map((job) => job.id).sort());
  assert.deepEqual(Object.keys(await countRows(db, client)).sort(), [
    "job_events",
    "jobs",
    "late_results",
    "stored_events",
  ]);
});

Deno.test("a client token that names another tenant, or no executor, sees no job", async () => {
  await using db = await TestDatabase.create();
  const [one, two] = [await createWorld(db), await createWorld(db)];
  for (
    const client of [
      clientOf(two.tenant.id, one.tenant.executorId),
      clientOf(one.tenant.id, crypto.randomUUID()),
      { role: "muster_client", claims: { role: "muster_client" } },
    ]
  ) {
    assert.deepEqual(await countRows(db, client), {});
  }
});

Deno.test("a worker token reads no table at all: not Muster's, not Auth's, not Storage's, not the user's own", async () => {
  await using db = await TestDatabase.create();
  const { worker } = await createWorld(db);
  await createUsersOwn(db);
  assert.deepEqual(await readable(db, worker.actor), ["realtime.messages"]);
  assert.deepEqual(await queryAs(db, worker.actor, "select * from realtime.messages"), []);
});

Deno.test("a client token reads no table but jobs, their events and late results", async () => {
  await using db = await TestDatabase.create();
  const { tenant } = await createWorld(db);
  await createUsersOwn(db);
  const client = clientOf(tenant.id, tenant.executorId);
  assert.deepEqual(await readable(db, client), [
    "muster.job_events",
    "muster.jobs",
    "muster.late_results",
    "muster.stored_events",
    "realtime.messages",
  ]);
  assert.deepEqual(await queryAs(db, client, "select * from realtime.messages"), []);
});

Deno.test("a worker or client token writes no table; a worker only shows presence, through the policies of its channel", async () => {
  await using db = await TestDatabase.create();
  await createUsersOwn(db);
  const rows = await db.sql`
    select r as role, c.oid::regclass::text as name
    from pg_class c cross join unnest(array['muster_worker', 'muster_client']) r
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
      and not (c.relnamespace = 'realtime'::regnamespace and c.relname = 'messages')
      and has_schema_privilege(r, c.relnamespace, 'usage')
      and (has_table_privilege(r, c.oid, 'insert, update, delete, truncate')
        or has_any_column_privilege(r, c.oid, 'insert, update'))`;
  assert.deepEqual([...rows], []);
});

Deno.test("a worker or client token cannot call the functions of the user's own public schema", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker } = await createWorld(db);
  await createUsersOwn(db);
  for (const actor of [worker.actor, clientOf(tenant.id, tenant.executorId)]) {
    await assert.rejects(queryAs(db, actor, "select public.all_customers()"), { code: "42501" }, actor.role);
  }
});

type World = { tenant: TestTenant; worker: TestWorker; jobs: Answer[] };

/** A tenant that has rows in every table. */
async function createWorld(db: TestDatabase): Promise<World> {
  const tenant = await createTenant(db);
  await createMember(db, tenant, "viewer");
  await db.sql`insert into muster.tenant_limits (tenant_id) values (${tenant.id})`;
  const worker = await createWorker(db, tenant);
  const input = await createInput(db, tenant);
  await createSecret(db, tenant, "KEY");
  await createSchedule(db, tenant);
  const jobs = await submit(db, tenant, { inputs: [input.id] }, { concurrency_key: "k" }, {});
  const [claimed] = await worker.claim();
  await worker.complete([succeeded(claimed!, { secret: tenant.id })]);
  await worker.complete([failed(claimed!)]);
  await worker.complete((await worker.claim()).map((job) => failed(job, { retryable: false })));
  jobs.push(...await submit(db, tenant, { affinity: { key: "k", mode: "hard" } }));
  const rate_limit = { key: "api", limit: 1, per_seconds: 1 };
  jobs.push(...await submit(db, tenant, { after: [jobs.at(-1).id] }, { rate_limit }));
  const { name: queue } = await Queue.create(db.sql);
  await db.call(service, "bridge_queue", { queue, type: "test", options: { tenant_id: tenant.id } });
  await db.call(worker.actor, "hold_resources", { resources: [{ name: "model" }] });
  await db.sql`select muster_private.seal_audit(${tenant.id}, true)`;
  return { tenant, worker, jobs };
}

async function createExecutor(db: TestDatabase, tenant: TestTenant): Promise<TestTenant> {
  const hash = sha256(crypto.randomUUID());
  const key = await db.call(service, "create_api_key", {
    tenant_id: tenant.id,
    executor_name: "sibling",
    key_prefix: "msk_test",
    key_hash: hash,
  });
  return { id: tenant.id, executorId: key.executor_id, caller: { kind: "api_key", hash } };
}

/** What a project has of its own, made as its owner makes it, with the platform's default privileges. */
async function createUsersOwn(db: TestDatabase): Promise<void> {
  await db.sql.begin(async (tx) => {
    await tx`set local session authorization postgres`;
    await tx`create table public.customers (name text)`;
    await tx`insert into public.customers values ('Ada')`;
    await tx`create view public.customer_names as select name from public.customers`;
    await tx.unsafe(`create function public.all_customers() returns setof text language sql security definer
      set search_path = '' as $$ select name from public.customers $$`);
  });
}

async function tablesOf(db: TestDatabase): Promise<string[]> {
  const rows = await db.sql`
    select c.oid::regclass::text as name from pg_class c
    where c.relnamespace = 'muster'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1`;
  return rows.map((row) => row.name);
}

/** Nothing can be written through it. */
const view = "muster.job_events";

/** Tables of schema muster, and its view, of which the actor sees rows, with how many. */
async function countRows(db: TestDatabase, actor: Actor): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of [...await tablesOf(db), view]) {
    const rows = await queryAs(db, actor, `select count(*)::integer as count from ${table}`).catch((error) => {
      if (error.code === "42501") return [{ count: 0 }];
      throw error;
    });
    if (rows[0]!.count > 0) counts[table.slice("muster.".length)] = rows[0]!.count;
  }
  return counts;
}

async function countRowsOf(db: TestDatabase, tenant: TestTenant): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const table of [...await tablesOf(db), view]) {
    const column = table === "muster.tenants" ? "id" : "tenant_id";
    const [row] = await db.sql.unsafe(`select count(*)::integer as count from ${table} where ${column} = $1`, [
      tenant.id,
    ]);
    counts[table.slice("muster.".length)] = row!.count;
  }
  return counts;
}

/** Tables and views of the whole database, outside of the catalogs, that the actor may select from. */
async function readable(db: TestDatabase, actor: Actor): Promise<string[]> {
  const relations = await db.sql`
    select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
      and not c.relispartition and c.oid <> 'muster_private.test_clock'::regclass
    order by 1`;
  assert.ok(
    relations.some(({ name }) => name === "auth.users") && relations.some(({ name }) => name === "storage.objects"),
  );
  const names: string[] = [];
  for (const { name } of relations) {
    await queryAs(db, actor, `select 1 from ${name}`).then(() => names.push(name), (error) => {
      assert.equal(error.code, "42501", `${name}: ${error.message}`);
    });
  }
  return names;
}
