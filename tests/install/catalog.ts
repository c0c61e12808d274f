import postgres from "postgres";

/** What a database holds besides rows: objects with their owners and rights, roles, cron jobs, history, buckets. */
export async function catalogOf(adminDbUrl: string): Promise<Record<string, readonly unknown[]>> {
  const sql = postgres(adminDbUrl, { max: 1, onnotice() {} });
  try {
    const queries: Record<string, string> = {
      schemas: `select nspname, nspowner::regrole::text, nspacl::text from pg_namespace
        where nspname !~ '^pg_(toast_)?temp' order by 1`,
      relations: `select c.oid::regclass::text, c.relkind, c.relowner::regrole::text, c.relacl::text, c.relrowsecurity
        from pg_class c where c.relnamespace <> 'pg_toast'::regnamespace and c.relname !~ '^messages_\\d' order by 1`,
      functions: `select p.oid::regprocedure::text, p.proowner::regrole::text, p.proacl::text, md5(p.prosrc)
        from pg_proc p order by 1`,
      types:
        `select t.oid::regtype::text from pg_type t where t.typname !~ '^_?messages_\\d' and t.typname !~ '^pg_toast'
        order by 1`,
      constraints: `select conname, conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint
        where conname !~ '^messages_\\d' order by 1, 2`,
      triggers: `select tgrelid::regclass::text, tgname from pg_trigger where not tgisinternal order by 1, 2`,
      policies: `select schemaname, tablename, policyname, qual from pg_policies order by 1, 2, 3`,
      roles: `select rolname, rolcanlogin, rolinherit, rolconfig::text from pg_roles order by 1`,
      memberships: `select roleid::regrole::text, member::regrole::text from pg_auth_members order by 1, 2`,
      defaults: `select defaclrole::regrole::text, defaclnamespace::regnamespace::text, defaclobjtype, defaclacl::text
        from pg_default_acl order by 1, 2, 3`,
      extensions: `select extname from pg_extension order by 1`,
      cron: `select jobname, schedule, command from cron.job order by 1`,
      history: `select version, name from supabase_migrations.schema_migrations order by 1`,
      buckets: `select id from storage.buckets order by 1`,
    };
    const entries = Object.entries(queries).map(async ([name, text]) =>
      [name, [...await sql.unsafe(text)] as unknown[]] as const
    );
    return Object.fromEntries(await Promise.all(entries));
  } finally {
    await sql.end();
  }
}
