import assert from "node:assert/strict";
import { TestDatabase } from "../support/database.ts";
import { advise } from "./advise.ts";
import { asPostgres } from "./database.ts";

/**
 * A fault for every rule of the advisors that a database alone can break: `planted_<rule>` is what breaks it, if it has a
 * name of its own. Left out are the rules for bloat, which is not in the schema, and for queues that Muster has not.
 */
const faults: Record<string, string> = {
  auth_rls_initplan: `
    create table muster.planted_auth_rls_initplan (id uuid primary key);
    alter table muster.planted_auth_rls_initplan enable row level security;
    create policy p on muster.planted_auth_rls_initplan for select to authenticated using (id = auth.uid())`,
  auth_users_exposed: `
    create view muster.planted_auth_users_exposed as select id from auth.users;
    grant select on muster.planted_auth_users_exposed to authenticated`,
  duplicate_index: `
    create table muster.planted_duplicate_index (id int primary key, n int);
    create index planted_a_idx on muster.planted_duplicate_index (n);
    create index planted_b_idx on muster.planted_duplicate_index (n)`,
  extension_in_public: `create extension citext with schema public`,
  extension_versions_outdated: `create extension hstore with schema extensions version '1.4'`,
  fkey_to_auth_unique: `
    create table muster.planted_fkey_to_auth_unique (id int primary key, phone text references auth.users (phone))`,
  foreign_table_in_api: `
    create foreign table muster.planted_foreign_table_in_api (n int) server planted;
    grant select on muster.planted_foreign_table_in_api to authenticated`,
  function_search_path_mutable: `
    create function muster.planted_function_search_path_mutable() returns int language sql as 'select 1'`,
  materialized_view_in_api: `
    create materialized view muster.planted_materialized_view_in_api as select 1 as n;
    grant select on muster.planted_materialized_view_in_api to authenticated`,
  multiple_permissive_policies: `
    create table muster.planted_multiple_permissive_policies (id int primary key);
    alter table muster.planted_multiple_permissive_policies enable row level security;
    create policy a on muster.planted_multiple_permissive_policies for select to authenticated using (id = 1);
    create policy b on muster.planted_multiple_permissive_policies for select to authenticated using (id = 2)`,
  no_primary_key: `create table muster.planted_no_primary_key (n int)`,
  policy_exists_rls_disabled: `
    create table muster.planted_policy_exists_rls_disabled (id int primary key);
    create policy p on muster.planted_policy_exists_rls_disabled for select to authenticated using (id = 1)`,
  rls_disabled_in_public: `create table muster.planted_rls_disabled_in_public (id int primary key)`,
  rls_enabled_no_policy: `
    create table muster.planted_rls_enabled_no_policy (id int primary key);
    alter table muster.planted_rls_enabled_no_policy enable row level security`,
  rls_policy_always_true: `
    create table muster.planted_rls_policy_always_true (id int primary key);
    alter table muster.planted_rls_policy_always_true enable row level security;
    create policy p on muster.planted_rls_policy_always_true for update to authenticated using (true)`,
  rls_references_user_metadata: `
    create table muster.planted_rls_references_user_metadata (id int primary key);
    alter table muster.planted_rls_references_user_metadata enable row level security;
    create policy p on muster.planted_rls_references_user_metadata for select to authenticated
      using ((select auth.jwt() -> 'user_metadata' ->> 'x') = 'y')`,
  security_definer_view: `
    create view muster.planted_security_definer_view as select 1 as n;
    grant select on muster.planted_security_definer_view to authenticated`,
  sensitive_columns_exposed: `
    create table muster.planted_sensitive_columns_exposed (id int primary key, password text)`,
  unindexed_foreign_keys: `
    create table muster.planted_parent (id int primary key);
    create table muster.planted_unindexed_foreign_keys (
      id int primary key, parent_id int references muster.planted_parent)`,
  unsupported_reg_types: `create table muster.planted_unsupported_reg_types (id int primary key, n regnamespace)`,
  unused_index: `
    create table muster.planted_unused_index (id int primary key, n int);
    create index planted_unused_index_idx on muster.planted_unused_index (n)`,
};

/** What the findings call a fault that has no name of its own. */
const names: Record<string, string> = { extension_in_public: "citext", extension_versions_outdated: "hstore" };

/** Plants every fault in a database of its own and holds that the advisors find each of them. */
export async function findPlantedFaults(): Promise<void> {
  await using db = await TestDatabase.create();
  // Foreign servers are made by superusers.
  await db.sql.unsafe(`
    create extension postgres_fdw with schema extensions;
    create server planted foreign data wrapper postgres_fdw;
    grant usage on foreign server planted to postgres`);
  await db.sql.begin(async (tx) => {
    await tx`set local role postgres`;
    for (const statements of Object.values(faults)) await tx.unsafe(statements);
  });
  const findings = await advise(asPostgres(db.url));
  const found = (rule: string) =>
    findings.some(({ name, detail }) => name === rule && detail.includes(names[rule] ?? `planted_${rule}`));
  assert.deepEqual(Object.keys(faults).filter((rule) => !found(rule)), [], "rules that did not see their fault");
}
