-- Takes Muster out of a database: its schemas with all they hold, roles, policies, cron jobs and the lines of its
-- migrations in the history. Everything else stays, pg_cron too. One statement, so that it happens whole or not at all;
-- harmless to repeat. First take the function secrets and the functions away, so that nobody calls what is gone, and
-- empty the bucket muster-artifacts through Storage: files are not SQL's to delete.

do $muster$
declare
  v_name text;
  v_policy record;
  v_strangers text;
begin
  -- Queues of pgmq stay, with all their messages, and their readers see them again.
  if to_regprocedure('muster_private.release_all_queues()') is not null then
    perform muster_private.release_all_queues();
  end if;

  -- What others have built on Muster would be dropped with it: that is theirs to decide.
  select string_agg(i.type || ' ' || i.identity, ', ' order by i.identity) into v_strangers
  from pg_catalog.pg_depend d
  cross join lateral pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) i
  where d.deptype in ('n', 'a')
    and (d.refclassid, d.refobjid) in (
      select 'pg_class'::regclass, c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      where n.nspname in ('muster', 'muster_private')
      union all
      select 'pg_proc'::regclass, p.oid from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
      where n.nspname in ('muster', 'muster_private')
      union all
      select 'pg_type'::regclass, t.oid from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace
      where n.nspname in ('muster', 'muster_private'))
    and i.identity !~ '(^|[ (,])muster(_private)?\.'
    and i.identity !~ '^"?muster_[a-z_]+"? on (realtime|storage)\.'
    and coalesce(i.schema, '') not in ('muster', 'muster_private', 'pg_toast');
  if v_strangers is not null then
    raise exception 'Cannot remove Muster: something of yours is built on it: %', v_strangers
      using hint = 'Drop or change that first';
  end if;

  if to_regclass('cron.job') is not null then
    for v_name in select j.jobname from cron.job j where j.jobname like 'muster-%' order by 1 loop
      perform cron.unschedule(v_name);
    end loop;
  end if;

  for v_policy in
    select p.schemaname, p.tablename, p.policyname from pg_catalog.pg_policies p
    where p.schemaname in ('realtime', 'storage') and p.policyname like 'muster\_%'
  loop
    execute format('drop policy %I on %I.%I', v_policy.policyname, v_policy.schemaname, v_policy.tablename);
  end loop;

  drop schema if exists muster, muster_private cascade;

  for v_name in select r.rolname from pg_catalog.pg_roles r where r.rolname in ('muster_worker', 'muster_client') loop
    -- Who made a role may not act for it until it is granted.
    execute format('grant %I to current_user', v_name);
    execute format('drop owned by %I', v_name);
    execute format('drop role %I', v_name);
  end loop;

  -- Supabase's default, which the migrations replaced by a right of each role by name.
  if not exists (
    select from pg_catalog.pg_namespace n, pg_catalog.aclexplode(n.nspacl) a
    where n.nspname = 'public' and a.grantee = 0 and a.privilege_type = 'USAGE'
  ) then
    grant usage on schema public to public;
  end if;

  if to_regclass('supabase_migrations.schema_migrations') is not null then
    delete from supabase_migrations.schema_migrations m where m.version = any ('{/* versions */}'::text[]);
  end if;

  if to_regclass('storage.buckets') is not null then
    for v_name in select b.id from storage.buckets b where b.id = 'muster-artifacts' loop
      raise warning 'Bucket % is still there: delete it through Storage', v_name;
    end loop;
  end if;
end
$muster$;
