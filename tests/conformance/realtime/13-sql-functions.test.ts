import assert from "node:assert/strict";
import postgres from "postgres";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { adminDbUrl, ignore } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { addPolicy, connectDatabase, newTopic, stack } from "./support/stack.ts";

/** A V2 socket joined to the private topic, with the link to the database up. */
async function listen(topic: string, isPrivate = true): Promise<RawSocket> {
  const socket = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  await socket.join(topic, { private: isPrivate, broadcast: { replication_ready: true } });
  assert.equal((await socket.next()).payload.message, "Replication connection established");
  return socket;
}

Deno.test("the functions have the service's names, parameters, defaults and rights", async () => {
  await using database = connectDatabase();
  const functions = await database.sql`
    select proname as name, pg_get_function_arguments(oid) as arguments, pg_get_function_result(oid) as result,
      prosecdef as definer, has_function_privilege('anon', oid, 'execute') as anybody,
      pg_get_userbyid(proowner) as owner
    from pg_proc where pronamespace = 'realtime'::regnamespace
      and proname in ('topic', 'send', 'send_binary', 'broadcast_changes')
    order by proname, oid`;
  const common = { definer: false, anybody: true, owner: "supabase_realtime_admin" };
  assert.deepEqual(functions.map((row) => ({ ...row })), [
    {
      name: "broadcast_changes",
      arguments: "topic_name text, event_name text, operation text, table_name text, table_schema text, " +
        "new record, old record, level text DEFAULT 'ROW'::text",
      result: "void",
      ...common,
    },
    {
      name: "send",
      arguments: "payload jsonb, event text, topic text, private boolean DEFAULT true",
      result: "void",
      ...common,
    },
    {
      name: "send_binary",
      arguments: "payload bytea, event text, topic text, private boolean DEFAULT true",
      result: "void",
      ...common,
    },
    { name: "topic", arguments: "", result: "text", ...common },
  ]);
});

Deno.test("the table has the service's columns, key, check, index and rights", async () => {
  await using database = connectDatabase();
  const columns = await database.sql`
    select attname as name, format_type(atttypid, atttypmod) as type, attnotnull as required,
      pg_get_expr(adbin, adrelid) as default
    from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where attrelid = 'realtime.messages'::regclass and attnum > 0 and not attisdropped
    order by attnum`;
  assert.deepEqual(columns.map((column) => Object.values(column)), [
    ["topic", "text", true, null],
    ["extension", "text", true, null],
    ["payload", "jsonb", false, null],
    ["event", "text", false, null],
    ["private", "boolean", false, "false"],
    ["updated_at", "timestamp without time zone", true, "now()"],
    ["inserted_at", "timestamp without time zone", true, "now()"],
    ["id", "uuid", true, "gen_random_uuid()"],
    ["binary_payload", "bytea", false, null],
  ]);
  const constraints = await database.sql`
    select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
    where conrelid = 'realtime.messages'::regclass and contype in ('p', 'c') order by 1`;
  assert.deepEqual(constraints.map((constraint) => Object.values(constraint)), [
    ["messages_payload_exclusive", "CHECK (((payload IS NULL) OR (binary_payload IS NULL))) NOT VALID"],
    ["messages_pkey", "PRIMARY KEY (id, inserted_at)"],
  ]);
  const [{ index, rls, partitioned } = {}] = await database.sql`
    select pg_get_indexdef('realtime.messages_inserted_at_topic_index'::regclass) as index, relrowsecurity as rls,
      pg_get_partkeydef(oid) as partitioned
    from pg_class where oid = 'realtime.messages'::regclass`;
  assert.match(
    index,
    /\(inserted_at DESC, topic\) WHERE \(\(extension = 'broadcast'::text\) AND \(private IS TRUE\)\)$/,
  );
  assert.deepEqual([rls, partitioned], [true, "RANGE (inserted_at)"]);
  for (const role of ["anon", "authenticated", "service_role"]) {
    const [granted] = await database.sql`
      select has_table_privilege(${role}, 'realtime.messages', 'select, insert, update') as some,
        has_table_privilege(${role}, 'realtime.messages', 'delete') as delete,
        has_schema_privilege(${role}, 'realtime', 'usage') as usage`;
    assert.deepEqual({ ...granted }, { some: true, delete: false, usage: true }, role);
  }
  const open = await database.sql`
    select inhrelid::regclass::text as name from pg_inherits
    where inhparent = 'realtime.messages'::regclass and has_table_privilege('authenticated', inhrelid, 'select, insert')`;
  assert.equal(open.length, 0);
});

Deno.test("send stores the row and adds its id to the payload, unless that has one", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await listen(topic);
  await database.sql`select realtime.send('{"a": [1,2]}'::jsonb, 'plain', ${topic})`;
  await database
    .sql`select realtime.send(payload => '{"id":"mine"}', event => 'own', topic => ${topic}, private => true)`;
  const plain = (await socket.next()).payload;
  const { id } = plain.meta;
  assert.deepEqual(plain, { type: "broadcast", event: "plain", payload: { a: [1, 2], id }, meta: { id } });
  const own = (await socket.next()).payload;
  assert.deepEqual(own.payload, { id: "mine" });
  assert.notEqual(own.meta.id, "mine");
  const stored = await database.sql`
    select topic, extension, event, private, binary_payload from realtime.messages where id = ${id}`;
  assert.deepEqual({ ...stored[0] }, {
    topic,
    extension: "broadcast",
    event: "plain",
    private: true,
    binary_payload: null,
  });
});

Deno.test("send_binary stores and sends bytes, with no id added; both are private unless told otherwise", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using closed = await listen(topic);
  using open = await listen(topic, false);
  await database.sql`
    select realtime.send_binary('\\x00ff'::bytea, 'closed', ${topic}),
      realtime.send_binary(payload => '\\x'::bytea, event => 'open', topic => ${topic}, private => false)`;
  assert.deepEqual((await closed.next()).payload.payload, Uint8Array.of(0, 255));
  assert.deepEqual((await open.next()).payload.payload, new Uint8Array());
  assert.deepEqual([...await closed.rest(), ...await open.rest()], []);
  const stored = await database.sql`select payload, extension from realtime.messages where topic = ${topic}`;
  assert.deepEqual(stored.map((row) => ({ ...row })), Array(2).fill({ payload: null, extension: "broadcast" }));
});

Deno.test("what cannot be stored is a warning, and the caller goes on", async () => {
  const warnings: string[] = [];
  await using database = connectDatabase((message) => warnings.push(message));
  const topic = newTopic();
  const failing: [string, RegExp][] = [
    ["'[1]'", /path element at position 1 is not an integer: "id"/],
    ["'7'", /cannot set path in scalar/],
  ];
  for (const [payload, reason] of failing) {
    await database.sql.unsafe(`select realtime.send(${payload}::jsonb, 'e', '${topic}')`);
    assert.match(warnings.pop()!, new RegExp(`^WarnSendingBroadcastMessage: ${reason.source}`));
  }
  await database.sql`select realtime.send('{}'::jsonb, 'e', null)`;
  assert.match(warnings.pop()!, /^WarnSendingBroadcastMessage: /);
  // An array that holds the text "id" passes as one that has the key.
  await database.sql`select realtime.send('["id"]'::jsonb, 'e', ${topic})`;
  assert.deepEqual(warnings, []);
  const stored = await database.sql`select payload from realtime.messages where topic = ${topic}`;
  assert.deepEqual(stored.map(({ payload }) => payload), [["id"]]);
});

Deno.test("topic() is empty before and the sender's topic for the rest of the transaction", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  const topics = await database.sql.begin(async (tx) => {
    const [before] = await tx`select realtime.topic()`;
    await tx`select realtime.send('{}'::jsonb, 'e', ${topic})`;
    const [after] = await tx`select realtime.topic()`;
    return [before!.topic, after!.topic];
  });
  assert.deepEqual(topics, [null, topic]);
});

Deno.test("messages come in order once committed, and never when rolled back", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await listen(topic);
  await assert.rejects(
    database.sql.begin(async (tx) => {
      await tx`select realtime.send('{}'::jsonb, 'lost', ${topic})`;
      throw new Error("rollback");
    }),
    /rollback/,
  );
  await database.sql.begin(async (tx) => {
    for (let n = 1; n <= 20; n++) await tx`select realtime.send('{}'::jsonb, ${String(n)}, ${topic})`;
    assert.deepEqual(await socket.rest(), []);
  });
  const events: string[] = [];
  while (events.length < 20) events.push((await socket.next()).payload.event);
  assert.deepEqual(events, Array.from({ length: 20 }, (_, index) => String(index + 1)));
  const [{ instants } = {}] = await database.sql`
    select count(distinct inserted_at)::int as instants from realtime.messages where topic = ${topic}`;
  assert.equal(instants, 1);
});

Deno.test("broadcast_changes sends the change of a row, privately", async () => {
  await using database = connectDatabase();
  const topic = newTopic();
  using socket = await listen(topic);
  const changes: [string, string, string, object][] = [
    ["INSERT", "r", "null", { record: { a: 1 }, old_record: null }],
    ["UPDATE", "r", "r", { record: { a: 1 }, old_record: { a: 1 } }],
    ["DELETE", "null", "r", { record: null, old_record: { a: 1 } }],
  ];
  for (const [operation, after, before, expected] of changes) {
    await database.sql.unsafe(
      `select realtime.broadcast_changes('${topic}', 'changed', '${operation}', 't', 'public', ${after}, ${before})
       from (select 1 as a) r`,
    );
    const { event, payload, meta } = (await socket.next()).payload;
    const { id, ...change } = payload;
    assert.deepEqual([event, id], ["changed", meta.id]);
    assert.deepEqual(change, { ...expected, operation, table: "t", schema: "public" });
  }
});

Deno.test("broadcast_changes raises for a statement and for what is no change of a row", async () => {
  await using database = connectDatabase();
  const call = (operation: string, level: string) =>
    database.sql`
      select realtime.broadcast_changes('t', 'e', ${operation}, 't', 'public', r, null, ${level}) from (select 1) r`;
  await assert.rejects(
    call("TRUNCATE", "ROW"),
    { message: "Failed to process the row: Unexpected operation type: TRUNCATE" },
  );
  await assert.rejects(call("INSERT", "STATEMENT"), {
    message: "Failed to process the row: function can only be triggered for each row, not for each statement",
  });
});

Deno.test(
  "a trigger whose caller may not write the message warns, and the change is committed",
  { ignore },
  async () => {
    const warnings: string[] = [];
    const admin = postgres(adminDbUrl!, { max: 1, onnotice: ({ message }) => warnings.push(message ?? "") });
    await using database = connectDatabase();
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => admin.end());
    const topic = newTopic();
    const table = `conformance_${crypto.randomUUID().slice(0, 8)}`;
    cleanup.defer(async () => void await admin.unsafe(`drop table ${table}; drop function ${table}_changed()`));
    await admin.unsafe(`
    create table ${table} (a int);
    grant insert on ${table} to authenticated;
    create function ${table}_changed() returns trigger language plpgsql as $$
    begin
      perform realtime.broadcast_changes('${topic}', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
      return null;
    end $$;
    create trigger changed after insert on ${table} for each row execute function ${table}_changed()`);
    using socket = await listen(topic);
    const insert = (a: number) =>
      admin.begin(async (tx) => {
        await tx`set local role authenticated`;
        await tx.unsafe(`insert into ${table} values (${a})`);
      });

    await insert(1);
    assert.match(warnings.join(), /WarnSendingBroadcastMessage: new row violates row-level security policy/);
    // The policy sees the topic that is being sent to.
    await using _policy = await addPolicy(database.sql, "insert", `realtime.topic() = '${topic}'`);
    await insert(2);
    assert.equal((await socket.next()).payload.payload.record.a, 2);
    const rows = await admin.unsafe(`select a from ${table} order by a`);
    assert.deepEqual(rows.map(({ a }) => a), [1, 2]);
  },
);

Deno.test("the official client hears messages from SQL on a private channel, with their id as meta", async () => {
  await using database = connectDatabase();
  await using connection = connectClient({ key: stack.secretKey });
  const topic = newTopic();
  const channel = connection.client.channel(topic, { config: { private: true } });
  const inbox = new Inbox<{ payload: { id?: string } | ArrayBuffer; meta?: { id: string } }>();
  channel.on("broadcast", { event: "hi" }, inbox.put);
  assert.equal((await subscribe(channel)).status, "SUBSCRIBED");
  await database.sql`
    select realtime.send('{}'::jsonb, 'hi', ${topic}), realtime.send_binary('\\x01'::bytea, 'hi', ${topic})`;
  const { payload, meta } = await inbox.next();
  assert.deepEqual(payload, { id: meta!.id });
  assert.deepEqual((await inbox.next()).payload, Uint8Array.of(1).buffer);
});
