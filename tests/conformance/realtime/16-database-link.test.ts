import assert from "node:assert/strict";
import postgres, { type Sql } from "postgres";
import { until } from "../../../local/testing/wait.ts";
import { connectClient, Inbox } from "./support/client.ts";
import { adminDbUrl, ignore, startRealtime } from "./support/own-server.ts";
import { answer, post } from "./support/rest.ts";
import { connectDatabase, newTopic, serviceToken, signToken } from "./support/stack.ts";

const dayMs = 24 * 60 * 60 * 1000;
const established = "Replication connection established";

function connectAdmin(): { sql: Sql } & AsyncDisposable {
  const sql = postgres(adminDbUrl!, { max: 2, onnotice: () => {} });
  return { sql, [Symbol.asyncDispose]: () => sql.end({ timeout: 1 }) };
}

function day(instant: number): string {
  return new Date(instant).toISOString().slice(0, 10);
}

function partition(instant: number): string {
  return `messages_${day(instant).replaceAll("-", "_")}`;
}

async function partitions(sql: Sql): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    select relname as name from pg_inherits join pg_class on oid = inhrelid
    where inhparent = 'realtime.messages'::regclass order by 1`;
  return rows.map(({ name }) => name);
}

/** Ends the youngest link, which is that of the server that was started last. */
async function cutLink(sql: Sql): Promise<void> {
  await sql`
    select pg_terminate_backend(pid) from pg_stat_replication
    where application_name = 'realtime_replication' order by backend_start desc limit 1`;
}

Deno.test("a channel that asks is told once messages are followed, at once where they are", { ignore }, async () => {
  const lost = Promise.withResolvers<void>();
  await using server = await startRealtime({
    log: (line) => "event" in line && line.event === "realtime.replication_lost" && lost.resolve(),
  });
  await using admin = connectAdmin();
  for (const config of [{}, { private: true }]) {
    using socket = await server.open({ role: "service_role" });
    const topic = newTopic();
    await socket.join(topic, { ...config, broadcast: { replication_ready: true }, presence: { enabled: true } });
    const { event, payload } = await socket.next();
    assert.equal(event, "system");
    assert.deepEqual(payload, { extension: "system", status: "ok", message: established, channel: topic });
    assert.equal((await socket.next()).event, "presence_state");
  }

  // A slot waits for the transactions that have written, so the link stays down while one of them is open.
  const release = Promise.withResolvers<void>();
  const locked = Promise.withResolvers<void>();
  const held = admin.sql.begin(async (tx) => {
    await tx`select pg_current_xact_id()`;
    locked.resolve();
    await release.promise;
  });
  await locked.promise;
  await cutLink(admin.sql);
  await lost.promise;
  using waiting = await server.open();
  const topic = newTopic();
  await waiting.join(topic, { broadcast: { replication_ready: "true" } });
  using silent = await server.open();
  await silent.join(topic);
  assert.deepEqual([...await waiting.rest(), ...await silent.rest()], []);
  release.resolve();
  await held;
  assert.equal((await waiting.next()).payload.message, established);
  assert.deepEqual(await silent.rest(), []);
});

Deno.test("a channel that asks is shut down where the link does not come up in time", { ignore }, async () => {
  const lost = Promise.withResolvers<void>();
  await using server = await startRealtime({
    limits: { replicationReadyTimeoutMs: 30 },
    log: (line) => "event" in line && line.event === "realtime.replication_lost" && lost.resolve(),
  });
  await using admin = connectAdmin();
  await admin.sql.begin(async (tx) => {
    await tx`select pg_current_xact_id()`;
    await cutLink(tx as unknown as Sql);
    await lost.promise;
    using socket = await server.open();
    const topic = newTopic();
    await socket.join(topic, { broadcast: { replication_ready: true } });
    await socket.nextShutdown(topic, "Replication connection was not established in time");
  });
});

Deno.test("a server stops at once though its link is still waiting to come up", { ignore }, async () => {
  const lost = Promise.withResolvers<void>();
  const server = await startRealtime({
    log: (line) => "event" in line && line.event === "realtime.replication_lost" && lost.resolve(),
  });
  await using admin = connectAdmin();
  await admin.sql.begin(async (tx) => {
    await tx`select pg_current_xact_id()`;
    await cutLink(tx as unknown as Sql);
    await lost.promise;
    await until("the link waits for the transaction", async () => {
      const waiting = await admin.sql`
        select from pg_stat_activity where application_name = 'realtime_replication' and wait_event = 'transactionid'`;
      return waiting.length > 0;
    }, 12_000);
    await server[Symbol.asyncDispose]();
  });
});

Deno.test(
  "nothing from before the link comes, nor from while it was cut; then messages flow again",
  { ignore },
  async () => {
    await using database = connectDatabase();
    await using admin = connectAdmin();
    const topic = newTopic();
    const send = (event: string) => database.sql`select realtime.send('{}'::jsonb, ${event}, ${topic})`;
    await send("before");
    const [lost, restored] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using server = await startRealtime({
      log: (line) => {
        if (!("event" in line)) return;
        if (line.event === "realtime.replication_lost") lost.resolve();
        if (line.event === "realtime.replication_restored") restored.resolve();
      },
    });
    using socket = await server.open({ role: "service_role" });
    await socket.join(topic, { private: true });
    await admin.sql.begin(async (tx) => {
      await tx`select pg_current_xact_id()`;
      await cutLink(tx as unknown as Sql);
      await lost.promise;
      await send("meanwhile");
    });
    await restored.promise;
    await send("after");
    assert.equal((await socket.next()).payload.event, "after");
    assert.deepEqual(await socket.rest(), []);
  },
);

Deno.test("the slot is temporary and follows a publication of realtime.messages alone, made anew when it is not", {
  ignore,
}, async () => {
  await using admin = connectAdmin();
  const publication = "supabase_realtime_messages_publication";
  await admin.sql.unsafe(`create table public.conformance_other (a int)`);
  await admin.sql.unsafe(`alter publication ${publication} add table public.conformance_other`);
  await using _server = await startRealtime();
  await admin.sql.unsafe(`drop table public.conformance_other`);
  const tables = await admin.sql`
    select prrelid::regclass::text as name, pubviaroot from pg_publication_rel join pg_publication p on p.oid = prpubid
    where pubname = ${publication}`;
  assert.deepEqual(tables.map((row) => ({ ...row })), [{ name: "realtime.messages", pubviaroot: false }]);
  const slots = await admin.sql`
    select plugin, temporary, active from pg_replication_slots
    where slot_name like 'supabase_realtime_messages_replication_slot_%'`;
  assert.ok(slots.length >= 2);
  for (const slot of slots) assert.deepEqual({ ...slot }, { plugin: "pgoutput", temporary: true, active: true });
});

Deno.test(
  "partitions are made from yesterday (UTC) to three days ahead, and messages go by their day",
  { ignore },
  async () => {
    await using admin = connectAdmin();
    const at = Date.now();
    const needed = [-1, 0, 1, 2, 3].map((offset) => partition(at + offset * dayMs));
    await admin.sql.unsafe(`drop table realtime.${needed[4]}, realtime.${needed[0]}`);
    {
      await using _server = await startRealtime({ now: () => at });
      const found = await partitions(admin.sql);
      assert.deepEqual(needed.filter((name) => found.includes(name)), needed);
    }
    const [{ bounds } = {}] = await admin.sql`
    select pg_get_expr(relpartbound, oid) as bounds from pg_class where oid = ${`realtime.${needed[4]}`}::regclass`;
    assert.equal(
      bounds,
      `FOR VALUES FROM ('${day(at + 3 * dayMs)} 00:00:00') TO ('${day(at + 4 * dayMs)} 00:00:00')`,
    );
    for (const [instant, name] of [[at - dayMs, needed[0]], [at, needed[1]]] as const) {
      const [row] = await admin.sql`
      insert into realtime.messages (topic, extension, inserted_at)
      values (${newTopic()}, 'broadcast', ${
        new Date(instant).toISOString()
      }) returning tableoid::regclass::text as name`;
      assert.equal(row!.name, `realtime.${name}`);
    }
  },
);

Deno.test("what is older than 72 hours is dropped by the day, when the server connects and from time to time", {
  ignore,
}, async () => {
  await using admin = connectAdmin();
  const at = Date.now();
  const make = async (daysAgo: number) => {
    const [from, to] = [at - daysAgo * dayMs, at - (daysAgo - 1) * dayMs];
    await admin.sql.unsafe(
      `create table if not exists realtime.${partition(from)} partition of realtime.messages
       for values from ('${day(from)}') to ('${day(to)}')`,
    );
    return partition(from);
  };
  const [kept, dropped, longGone] = [await make(3), await make(4), await make(40)];
  await using _server = await startRealtime({ now: () => at, limits: { maintenanceMs: 20 } });
  const found = await partitions(admin.sql);
  assert.deepEqual([kept, dropped, longGone].map((name) => found.includes(name)), [true, false, false]);

  await make(5);
  await until(
    "maintenance drops it",
    async () => !(await partitions(admin.sql)).includes(partition(at - 5 * dayMs)),
    12_000,
  );
  assert.ok((await partitions(admin.sql)).includes(kept));
  await admin.sql.unsafe(`drop table realtime.${kept}`);
});

Deno.test(
  "while today's partition is missing, messages are lost with a warning and joins say why",
  { ignore },
  async () => {
    const warnings: string[] = [];
    await using database = connectDatabase((message) => warnings.push(message));
    await using server = await startRealtime();
    const topic = newTopic();
    using socket = await server.open({ role: "service_role" });
    const joinRef = await socket.join(topic, { private: true, broadcast: { ack: true } });
    const send = (event: string) => database.sql`select realtime.send('{}'::jsonb, ${event}, ${topic})`;

    await server.realtime.setFaults({ missingPartition: true });
    try {
      await send("lost");
      assert.match(warnings.pop()!, /^WarnSendingBroadcastMessage: no partition of relation "messages" found for row/);
      using other = await server.open({ role: "service_role" });
      assert.equal(
        (await other.tryJoin(newTopic(), { private: true })).reply.payload.response.reason,
        "MissingPartition: Realtime was unable to find the expected messages partition",
      );
      await other.join(newTopic());
      // What may be written was not asked yet, and cannot be now.
      socket.send(`realtime:${topic}`, "broadcast", { event: "e", payload: {} }, joinRef);
      assert.deepEqual(await socket.rest(), []);
      const path = `/${encodeURIComponent(topic)}/events/e?private=true`;
      assert.deepEqual(await answer(await post(path, "{}", { url: server.url, token: await serviceToken() })), [
        422,
        { message: "Missing messages partition" },
      ]);
    } finally {
      await server.realtime.setFaults({ missingPartition: false });
    }

    await send("found");
    assert.deepEqual(warnings, []);
    assert.equal((await socket.next()).payload.event, "found");
    await socket.broadcast(topic, joinRef);
  },
);

Deno.test("a new token while the partition is missing ends a private channel", { ignore }, async () => {
  await using server = await startRealtime();
  const topic = newTopic();
  using socket = await server.open({ role: "service_role" });
  await socket.join(topic, { private: true });
  await server.realtime.setFaults({ missingPartition: true });
  try {
    const token = await signToken({ role: "service_role" });
    socket.send(`realtime:${topic}`, "access_token", { access_token: token });
    await socket.nextShutdown(topic, "Realtime was unable to connect to the project database");
  } finally {
    await server.realtime.setFaults({ missingPartition: false });
  }
});

Deno.test("without its database a server refuses joins, public ones, too", { ignore }, async () => {
  // Its own connections only: the role is for this server, and is then shut out.
  await using admin = connectAdmin();
  const role = `conformance_${crypto.randomUUID().slice(0, 8)}`;
  await admin.sql.unsafe(`create role ${role} superuser login password 'conformance'`);
  const dbUrl = new URL(adminDbUrl!);
  dbUrl.username = role;
  dbUrl.password = "conformance";
  {
    await using server = await startRealtime({ dbUrl: dbUrl.href });
    using socket = await server.open({ role: "service_role" });
    await admin.sql.unsafe(`alter role ${role} nologin`);
    await admin.sql`select pg_terminate_backend(pid) from pg_stat_activity where usename = ${role}`;
    for (const config of [{}, { private: true }]) {
      assert.equal(
        (await socket.tryJoin(newTopic(), config)).reply.payload.response.reason,
        "UnableToConnectToProject: Realtime was unable to connect to the project database",
      );
    }
  }
  await admin.sql.unsafe(`drop role ${role}`);
});

Deno.test(
  "on demand the link begins with the first join, and ends when nobody has been there for a while",
  { ignore },
  async () => {
    await using admin = connectAdmin();
    await using database = connectDatabase();
    const links = async () =>
      (await admin.sql`
    select from pg_stat_replication where application_name = 'realtime_replication'`).length;
    const others = await links();
    await using server = await startRealtime({ limits: { linkOnDemand: true, linkIdleMs: 60 } });
    const topic = newTopic();
    for (const round of ["first", "second"]) {
      assert.equal(await links(), others);
      await database.sql`select realtime.send('{}'::jsonb, 'nobody is there', ${topic})`;
      using socket = await server.open({ role: "service_role" });
      await socket.join(topic, { private: true, broadcast: { replication_ready: true } });
      assert.equal((await socket.next()).payload.message, established);
      assert.equal(await links(), others + 1);
      await database.sql`select realtime.send('{}'::jsonb, ${round}, ${topic})`;
      assert.equal((await socket.next()).payload.event, round);
      socket[Symbol.dispose]();
      await until("the link has gone", async () => await links() === others, 12_000);
    }
  },
);

Deno.test("the official client is told that the link is up", { ignore }, async () => {
  await using server = await startRealtime();
  await using connection = connectClient({ url: server.url, key: await signToken() });
  const inbox = new Inbox<{ message: string }>();
  const broadcast = { replication_ready: true };
  connection.client.channel(newTopic(), { config: { broadcast } as never }).on("system", {}, inbox.put).subscribe();
  assert.equal((await inbox.next()).message, established);
});
