import assert from "node:assert/strict";
import { TestDatabase } from "../support/database.ts";

const roles = ["anon", "authenticated", "muster_client", "muster_worker", "service_role"] as const;
type Role = typeof roles[number];

/** Who may call which function. A new function needs a row here. */
const doors: Record<string, Role[]> = {
  "add_member(jsonb,text,uuid,text)": ["service_role"],
  "authorize_artifact_finish(jsonb,uuid)": ["service_role", "muster_worker"],
  "authorize_client(jsonb)": ["service_role"],
  "bootstrap_tenant(jsonb,text,uuid,text)": ["service_role"],
  "authorize_secrets(jsonb)": ["muster_worker"],
  "cancel_jobs(jsonb,uuid[],text)": ["service_role"],
  "change_member_role(jsonb,uuid,text)": ["service_role"],
  "charge_address(text,text)": ["service_role"],
  "charge_refusal(jsonb,text)": ["service_role"],
  "claim_jobs(integer)": ["muster_worker"],
  "complete_jobs(jsonb,integer)": ["muster_worker"],
  "create_api_key(uuid,text,text,text,timestamp with time zone,text[])": ["service_role"],
  "create_artifact(jsonb,jsonb)": ["service_role", "muster_worker"],
  "create_enrollment_token(uuid,text,text,text[],jsonb,integer,timestamp with time zone,boolean,text[])": [
    "service_role",
  ],
  "create_tenant(text)": ["service_role"],
  "delete_secret(jsonb,text)": ["service_role"],
  "drain_worker(jsonb,uuid)": ["service_role"],
  "enroll_worker(text,jsonb,inet)": ["service_role"],
  "finish_artifact(uuid,bigint,text)": ["service_role"],
  "get_artifact(jsonb,uuid)": ["service_role", "muster_worker"],
  "get_job(jsonb,uuid)": ["service_role"],
  "get_limits(jsonb)": ["service_role"],
  "get_load(jsonb)": ["service_role"],
  "get_worker(jsonb,uuid)": ["service_role"],
  "goodbye(text)": ["muster_worker"],
  "health()": ["service_role"],
  "heartbeat(jsonb,integer,jsonb,jsonb,text,boolean,boolean)": ["muster_worker"],
  "hello(jsonb,jsonb)": ["muster_worker"],
  "issue_api_key(jsonb,text,text,text,text[],timestamp with time zone)": ["service_role"],
  "issue_enrollment_token(jsonb,text,text,text[],jsonb,integer,timestamp with time zone,boolean,text[])": [
    "service_role",
  ],
  "list_api_keys(jsonb,jsonb,integer,text)": ["service_role"],
  "list_artifacts(jsonb,uuid)": ["service_role"],
  "list_enrollment_tokens(jsonb,jsonb,integer,text)": ["service_role"],
  "list_audit(jsonb,jsonb,integer,text)": ["service_role"],
  "list_job_events(jsonb,uuid,bigint,integer)": ["service_role"],
  "list_jobs(jsonb,jsonb,integer,text)": ["service_role"],
  "list_members(jsonb)": ["service_role"],
  "list_tenants(jsonb,jsonb,integer,text)": ["service_role"],
  "list_secrets(jsonb,integer,text)": ["service_role"],
  "list_secrets_to_rotate(text,integer,uuid)": ["service_role"],
  "list_workers(jsonb,jsonb)": ["service_role"],
  "open_secrets(uuid,text,text,timestamp with time zone,uuid,integer)": ["service_role"],
  "prepare_secret(jsonb,text)": ["service_role"],
  "refresh_worker(uuid,text,text,timestamp with time zone)": ["service_role"],
  "reject_artifact(uuid,text)": ["service_role"],
  "remove_member(jsonb,uuid)": ["service_role"],
  "report_events(jsonb)": ["muster_worker"],
  "resume_worker(jsonb,uuid)": ["service_role"],
  "retry_job(jsonb,uuid)": ["service_role"],
  "revoke_api_key(jsonb,uuid)": ["service_role"],
  "revoke_enrollment_token(jsonb,uuid)": ["service_role"],
  "revoke_worker(jsonb,uuid)": ["service_role"],
  "rotate_api_key(jsonb,uuid,text,text,integer)": ["service_role"],
  "rotate_worker_key(uuid,text,jsonb,text,text,timestamp with time zone)": ["service_role"],
  "set_audit_retention(jsonb,integer)": ["service_role"],
  "rotate_secrets(text,jsonb)": ["service_role"],
  "set_secret(jsonb,jsonb)": ["service_role"],
  "set_limits(jsonb,jsonb)": ["service_role"],
  "submit_jobs(jsonb,jsonb,text)": ["service_role"],
  "tick()": ["service_role"],
  "verify_audit(jsonb,bigint,jsonb)": ["service_role"],
};

/** Helpers that policies need; all the others are for functions of schema muster alone. */
const privateDoors: Record<string, Role[]> = {
  "tenants_of_user(muster.member_role[])": ["authenticated"],
  "claim(text)": ["muster_client"],
  "authorize_topic(text,text,boolean)": ["authenticated", "muster_worker", "muster_client"],
};

/** Who holds select on which table; which rows that shows is for row level security. Nobody may write. */
const tables: Record<string, Role[]> = {
  "muster.api_keys": ["authenticated", "service_role"],
  "muster.artifacts": ["authenticated", "service_role"],
  "muster.audit_log": ["authenticated", "service_role"],
  "muster.concurrency_keys": ["authenticated", "service_role"],
  "muster.enrollment_tokens": ["authenticated", "service_role"],
  "muster.executors": ["authenticated", "service_role"],
  "muster.job_classes": ["authenticated", "service_role"],
  "muster.job_events": ["authenticated", "service_role", "muster_client"],
  "muster.job_inputs": ["authenticated", "service_role"],
  "muster.jobs": ["authenticated", "service_role", "muster_client"],
  "muster.late_results": ["authenticated", "service_role", "muster_client"],
  "muster.members": ["authenticated", "service_role"],
  "muster.secrets": ["authenticated", "service_role"],
  "muster.tenant_limits": ["authenticated", "service_role"],
  "muster.tenants": ["authenticated", "service_role"],
  "muster.worker_classes": ["authenticated", "service_role"],
  "muster.worker_devices": ["authenticated", "service_role"],
  "muster.worker_heartbeats": ["authenticated", "service_role"],
  "muster_private.audit_chains": [],
  "muster_private.audit_inbox": [],
  "muster_private.refused_joins": [],
  "muster_private.artifact_usage": [],
  "muster_private.rate_buckets": [],
  "muster_private.scheduler_state": [],
  "muster_private.used_proofs": [],
  "muster_private.waiting_counts": [],
};

Deno.test("every function of schema muster is called by the roles of its row, and fails with 42501 for all others", async () => {
  await using db = await TestDatabase.create();
  const functions = await functionsOf(db, "muster");
  assert.deepEqual(functions.map((each) => each.signature).sort(), Object.keys(doors).sort());
  for (const { name, signature, types } of functions) {
    for (const role of roles) {
      const call = `select muster.${name}(${types.map((type) => `null::${type}`).join(", ")})`;
      const code = await sqlStateOf(db, role, call);
      const mayCall = doors[signature]!.includes(role);
      assert.equal(code === "42501", !mayCall, `${role} calls ${signature}: SQLSTATE ${code}`);
    }
  }
});

Deno.test("helpers in schema muster_private are closed but for those that policies need", async () => {
  await using db = await TestDatabase.create();
  const open: Record<string, Role[]> = {};
  for (const { signature, oid } of await functionsOf(db, "muster_private")) {
    const [row] = await db.sql`
      select array(select r from unnest(${[
      ...roles,
    ]}::text[]) r where has_function_privilege(r, ${oid}::oid, 'execute')) as roles`;
    if (row!.roles.length > 0) open[signature] = row!.roles;
  }
  assert.deepEqual(sorted(open), sorted(privateDoors));
});

Deno.test("every function has an empty search_path and is closed to public", async () => {
  await using db = await TestDatabase.create();
  const rows = await db.sql`
    select p.oid::regprocedure::text as signature from pg_proc p
    where p.pronamespace in ('muster'::regnamespace, 'muster_private'::regnamespace)
      and (not coalesce(p.proconfig @> array['search_path=""'], false)
        or exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a where a.grantee = 0))`;
  assert.deepEqual(rows.map((row) => row.signature), []);
});

Deno.test("every table is read by the roles of its row and written by none", async () => {
  await using db = await TestDatabase.create();
  await db.sql`drop table muster_private.test_clock cascade`;
  const rows = await db.sql`
    select c.oid::regclass::text as name, c.relrowsecurity as is_secured,
      array(select r from unnest(${[...roles]}::text[]) r
        where has_table_privilege(r, c.oid, 'select') or has_any_column_privilege(r, c.oid, 'select')) as readers,
      array(select r from unnest(${[...roles]}::text[]) r
        where has_table_privilege(r, c.oid, 'insert, update, delete, truncate, references, trigger')
          or has_any_column_privilege(r, c.oid, 'insert, update, references')) as writers
    from pg_class c
    where c.relnamespace in ('muster'::regnamespace, 'muster_private'::regnamespace) and c.relkind in ('r', 'p', 'v', 'm', 'f')`;
  const readers = Object.fromEntries(rows.map((row) => [row.name, row.readers]));
  assert.deepEqual(sorted(readers), sorted(tables));
  for (const row of rows) {
    assert.deepEqual(row.writers, [], `${row.name} has writers`);
    assert.ok(row.is_secured, `${row.name} has row level security`);
  }
});

Deno.test("no role may use a sequence of schema muster", async () => {
  await using db = await TestDatabase.create();
  const rows = await db.sql`
    select c.oid::regclass::text as name, r as role
    from pg_class c cross join unnest(${[...roles]}::text[]) r
    where c.relnamespace in ('muster'::regnamespace, 'muster_private'::regnamespace) and c.relkind = 'S'
      and has_sequence_privilege(r, c.oid, 'usage, select, update')`;
  assert.deepEqual([...rows], []);
});

Deno.test("muster_worker and muster_client have no powers of their own and are members of nothing", async () => {
  await using db = await TestDatabase.create();
  const rows = await db.sql`
    select rolname, rolsuper or rolcreaterole or rolcreatedb or rolcanlogin or rolreplication or rolbypassrls as is_mighty,
      array(select m.roleid::regrole::text from pg_auth_members m where m.member = r.oid) as memberships
    from pg_roles r where rolname in ('muster_worker', 'muster_client') order by 1`;
  assert.deepEqual([...rows], [
    { rolname: "muster_client", is_mighty: false, memberships: [] },
    { rolname: "muster_worker", is_mighty: false, memberships: [] },
  ]);
});

async function functionsOf(
  db: TestDatabase,
  schema: string,
): Promise<{ oid: number; name: string; signature: string; types: string[] }[]> {
  const rows = await db.sql`
    select p.oid, p.proname as name, p.oid::regprocedure::text as signature,
      array(select format_type(t, null) from unnest(p.proargtypes) with ordinality a (t, n) order by n) as types
    from pg_proc p where p.pronamespace = ${schema}::regnamespace order by 3`;
  return rows.map((row) => ({
    oid: row.oid,
    name: row.name,
    types: row.types,
    signature: row.signature.slice(schema.length + 1),
  }));
}

/** The SQLSTATE with which a statement fails for a role; null when it does not. What it did is undone. */
async function sqlStateOf(db: TestDatabase, role: Role, statement: string): Promise<string | null> {
  const undone = { code: null };
  return await db.sql.begin(async (tx) => {
    await tx`select set_config('role', ${role}, true)`;
    await tx.unsafe(statement);
    throw undone;
  }).catch((error) => error.code);
}

function sorted(record: Record<string, Role[]>): [string, Role[]][] {
  return Object.entries(record).map(([name, value]): [string, Role[]] => [name, [...value].sort()])
    .sort(([a], [b]) => a < b ? -1 : 1);
}
