-- What a database for tests has beside platform and migrations: a clock that stands still, and a way back to what it
-- was like when it was made, so that the next test can have it, too.

create table muster_private.test_clock (at timestamptz not null);
insert into muster_private.test_clock values ('2026-01-01T00:00:00Z');
grant select on muster_private.test_clock to public;
create or replace function muster_private.now() returns timestamptz language sql volatile set search_path = ''
as $$ select at from muster_private.test_clock $$;
update muster_private.scheduler_state set last_tick_at = '2026-01-01T00:00:00Z';

create schema test_support;

-- A copy of each table that has rows before any test.
create table test_support.seeds (
  seeded regclass primary key,
  copy regclass not null,
  columns text not null
);
-- A row for each change of anything but rows. Only added to, so that two changes do not wait for each other.
create table test_support.alterations ();

do $$
declare
  v_table regclass;
  v_has_rows boolean;
  v_copy text;
begin
  for v_table in
    select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema', 'test_support')
    order by c.oid
  loop
    execute format('select exists (select from %s)', v_table) into v_has_rows;
    if v_has_rows then
      v_copy := 'test_support.' || quote_ident('seed_' || v_table::oid);
      execute format('create table %s as table %s', v_copy, v_table);
      insert into test_support.seeds
      select v_table, v_copy::regclass, string_agg(quote_ident(a.attname), ', ' order by a.attnum)
      from pg_catalog.pg_attribute a
      where a.attrelid = v_table and a.attnum > 0 and not a.attisdropped and a.attgenerated = '';
    end if;
  end loop;
end $$;

create table test_support.sequences (id regclass primary key, value bigint not null, is_called boolean not null);
insert into test_support.sequences
select s.seqrelid, coalesce(pg_catalog.pg_sequence_last_value(s.seqrelid), s.seqstart),
  pg_catalog.pg_sequence_last_value(s.seqrelid) is not null
from pg_catalog.pg_sequence s;

create function test_support.note_alteration() returns event_trigger
language plpgsql security definer set search_path = ''
as $$
begin
  insert into test_support.alterations default values;
end $$;

create table test_support.emptied (id regclass primary key);
insert into test_support.emptied
select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema', 'test_support')
  and not exists (select from test_support.seeds s where s.seeded = c.oid);

-- Brings back the rows that were there before any test, and no others. Answers false where that is not enough: somebody
-- has changed what is no row, a table has been vacuumed or analyzed, so that the planner knows more than it did, or much
-- was written. Nobody else may be connected. Written out for each table, as a statement is planned once then; and it
-- deletes, because to truncate costs ten times as much.
do $$
declare
  v_deletes text;
  v_seeds text;
begin
  select string_agg(format('if pg_catalog.pg_relation_size(%s) > 0 then delete from %s where true; end if;',
    e.id::oid, e.id), E'\n' order by e.id) into v_deletes
  from test_support.emptied e;

  select string_agg(format(
      'if (select count(*) from %2$s) <> (select count(*) from %3$s)
         or exists (select %1$s from %2$s except all select %1$s from %3$s)
       then
         delete from %2$s where true;
         insert into %2$s (%1$s) overriding system value select %1$s from %3$s;
       end if;', s.columns, s.seeded, s.copy), E'\n')
  into v_seeds
  from test_support.seeds s;

  execute format($format$
    create function test_support.restore() returns boolean
    language plpgsql set search_path = '' set session_replication_role = replica
    as $body$
    begin
      if exists (select from test_support.alterations)
        or exists (
          select from test_support.emptied e join pg_catalog.pg_class c on c.oid = e.id
          where c.reltuples >= 0 or pg_catalog.pg_relation_size(c.oid) > 1000000)
      then
        return false;
      end if;
      %s
      %s
      perform pg_catalog.setval(q.id, q.value, q.is_called)
      from test_support.sequences q
      where pg_catalog.pg_sequence_last_value(q.id) is distinct from case when q.is_called then q.value end;
      return true;
    end $body$
  $format$, v_deletes, v_seeds);
end $$;

create event trigger note_alteration on ddl_command_end execute function test_support.note_alteration();
