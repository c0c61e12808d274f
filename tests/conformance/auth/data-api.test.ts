import assert from "node:assert/strict";
import { connect, connectAsAdmin, connectDatabase, createTable, createUser, signIn } from "./support/users.ts";

const adminDbUrl = Deno.env.get("MUSTER_TEST_ADMIN_DB_URL");

Deno.test("row level security sees the signed-in user in the Data API, for reading and for each kind of write", async () => {
  await using database = connectDatabase();
  const { sql } = database;
  await using ada = await createUser();
  await using ben = await createUser();
  await using notes = await createTable(
    sql,
    `id bigint generated always as identity primary key, text text not null,
     owner uuid not null default auth.uid() references auth.users`,
  );
  await sql.unsafe(`
    alter table public.${notes.name} enable row level security;
    create policy own on public.${notes.name} to authenticated
      using (owner = (select auth.uid())) with check (owner = (select auth.uid()))`);
  const [asAda, asBen] = [(await signIn(ada.email)).client, (await signIn(ben.email)).client];

  const inserted = await asAda.from(notes.name).insert({ text: "mine" }).select().single();
  assert.equal(inserted.error, null);
  const { id, owner } = inserted.data;
  assert.equal(owner, ada.id);

  for (const stranger of [asBen, connect()]) {
    assert.deepEqual((await stranger.from(notes.name).select()).data, []);
    assert.deepEqual((await stranger.from(notes.name).update({ text: "theirs" }).eq("id", id).select()).data, []);
    assert.deepEqual((await stranger.from(notes.name).delete().eq("id", id).select()).data, []);
  }
  const planted = await asBen.from(notes.name).insert({ text: "planted", owner: ada.id });
  assert.deepEqual([planted.status, planted.error?.code], [403, "42501"]);
  assert.equal((await connect().from(notes.name).insert({ text: "nobody's", owner: ada.id })).status, 401);

  assert.equal((await asAda.from(notes.name).update({ text: "changed" }).eq("id", id)).error, null);
  assert.deepEqual((await connectAsAdmin().from(notes.name).select("text")).data, [{ text: "changed" }]);
  assert.equal((await asAda.from(notes.name).delete().eq("id", id)).error, null);
  assert.deepEqual((await asAda.from(notes.name).select()).data, []);
});

Deno.test("a policy reads what an admin wrote into a user's metadata", async () => {
  await using database = connectDatabase();
  const { sql } = database;
  await using pro = await createUser({ app_metadata: { plan: "pro" } });
  await using free = await createUser();
  await using offers = await createTable(sql, "id int primary key");
  await sql.unsafe(`
    insert into public.${offers.name} values (1);
    alter table public.${offers.name} enable row level security;
    create policy pros on public.${offers.name} for select to authenticated
      using (auth.jwt() -> 'app_metadata' ->> 'plan' = 'pro')`);
  assert.deepEqual((await (await signIn(pro.email)).client.from(offers.name).select()).data, [{ id: 1 }]);
  assert.deepEqual((await (await signIn(free.email)).client.from(offers.name).select()).data, []);
});

Deno.test("the Data API serves a new table, a new column and a new relationship at once", async () => {
  await using database = connectDatabase();
  const { sql } = database;
  const client = connectAsAdmin();
  for (let round = 1; round <= 5; round++) {
    await using teams = await createTable(sql, "id int primary key");
    assert.equal((await client.from(teams.name).insert({ id: round })).error, null);
    await sql.unsafe(`alter table public.${teams.name} add column name text`);
    assert.equal((await client.from(teams.name).update({ name: "red" }).eq("id", round)).error, null);
    await using members = await createTable(sql, `id int, team_id int references public.${teams.name}`);
    assert.equal((await client.from(members.name).insert({ id: 1, team_id: round })).error, null);
    const { data, error } = await client.from(members.name).select(`id, team:${teams.name}(name)`);
    assert.equal(error, null);
    assert.deepEqual(data, [{ id: 1, team: { name: "red" } }]);
  }
});

Deno.test("the Data API serves a table whose creation nobody announced", { ignore: !adminDbUrl }, async () => {
  await using database = connectDatabase(adminDbUrl);
  const { sql } = database;
  const name = `silent_${crypto.randomUUID().replaceAll("-", "")}`;
  assert.equal((await connectAsAdmin().from(name).select()).error?.code, "PGRST205");
  await sql.begin(async (tx) => {
    await tx.unsafe(`
      alter event trigger pgrst_ddl_watch disable;
      create table public.${name} (id int);
      alter event trigger pgrst_ddl_watch enable`);
  });
  const { data, error } = await connectAsAdmin().from(name).insert({ id: 1 }).select();
  assert.deepEqual([data, error], [[{ id: 1 }], null]);
  await sql.unsafe(`drop table public.${name}`);
});

Deno.test("bytes go both ways as Postgres writes them", async () => {
  await using database = connectDatabase();
  const { sql } = database;
  await using files = await createTable(sql, "id int primary key, body bytea");
  const { data } = await connectAsAdmin().from(files.name).insert({ id: 1, body: "\\xdead00ff" }).select();
  assert.deepEqual(data, [{ id: 1, body: "\\xdead00ff" }]);
  const [row] = await sql`select body from ${sql(`public.${files.name}`)}`;
  assert.deepEqual([...row!.body], [0xde, 0xad, 0x00, 0xff]);
});
