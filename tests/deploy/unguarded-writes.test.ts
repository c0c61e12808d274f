import assert from "node:assert/strict";
import { databaseUrl, openDatabase } from "./database.ts";
import { unguardedWrites } from "./unguarded-writes.ts";

const ignore = databaseUrl === undefined;

Deno.test(
  { name: "no function of ours updates or deletes without a where, which the Data API refuses", ignore },
  async () => {
    await using sql = openDatabase();
    const functions = await sql`
    select p.oid::regprocedure::text as name, p.prosrc as text
    from pg_catalog.pg_proc p
    where p.pronamespace::regnamespace::text in ('muster', 'muster_private')`;
    const writing = functions.filter(({ text }) => /\b(update|delete)\b/i.test(text));
    assert.ok(writing.length > 10, "there are functions to look at");
    const found = functions.flatMap(({ name, text }) => unguardedWrites(text).map((write) => `${name}: ${write}`));
    assert.deepEqual(found, []);
  },
);

Deno.test("unguardedWrites() finds a write without a where of its own, and no other", () => {
  const guarded = [
    "update muster.jobs j set n = 1 where j.id = 1;",
    "with gone as (delete from muster.jobs where id = 1 returning id) select * from gone;",
    "insert into muster.jobs values (1) on conflict (id) do update set n = 1;",
    "select 1 from muster.jobs for no key update skip locked;",
    "-- update muster.jobs set n = 1;\nselect 'delete from muster.jobs';",
    "update muster.jobs set n = (select 1) where true;",
  ];
  assert.deepEqual(guarded.flatMap(unguardedWrites), []);
  const unguarded = [
    "update muster.jobs set n = 1;",
    "begin delete from muster.jobs; perform 1 where true; end",
    "with gone as (delete from muster.jobs returning id) select * from gone where id = 1;",
    "update muster.jobs j set n = (select 1 where true) from other;",
  ];
  assert.deepEqual(unguarded.map((text) => unguardedWrites(text).length), [1, 1, 1, 1]);
});
