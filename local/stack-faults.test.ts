import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { silent } from "./log.ts";
import { type LocalStack, startLocalStack } from "./stack.ts";
import { makeProject } from "./testing/project.ts";
import { RealtimeSocket } from "./testing/realtime-socket.ts";
import { until } from "./testing/wait.ts";

const migration = `
create schema tiny;
grant usage on schema tiny to anon;
create table tiny.ticks (at timestamptz default now());
create function tiny.answer() returns int language sql as 'select 42';
create function tiny.slow() returns int language plpgsql as $$ begin perform pg_sleep(0.05); return 42; end $$;
create policy everybody on realtime.messages for select to anon using (true);
select cron.schedule('tick', '1 second', 'insert into tiny.ticks default values');
`;

const project = () =>
  makeProject({
    "supabase/migrations/20260101000000_tiny.sql": migration,
    "functions/greet/index.ts": `Deno.serve(() => new Response("hello"));\n`,
  });

Deno.test("what breaks in a local stack", async (t) => {
  await using tiny = await project();
  const limits = { maxChannelsPerSocket: 3, joinErrorDelayMs: 0 };
  await using stack = await startLocalStack({ ephemeral: true, project: tiny.path, realtime: { limits }, log: silent });
  const sql = postgres(stack.dbUrl, { max: 2, onnotice: () => {} });
  // Has been here from the beginning, and shall hear again whatever happened.
  const listener = await Listener.subscribe(stack);
  const { url } = stack;

  for (const part of ["gateway", "realtime", "functions", "lite", "postgres"] as const) {
    await t.step(`${part} that is killed is started again, and everything works`, async () => {
      const killed = stack.pids[part];
      Deno.kill(killed, "SIGKILL");
      await until(`${part} is another process`, () => stack.pids[part] !== killed);
      await everythingWorks(stack, sql, listener);
      assert.equal(stack.url, url);
    });
  }

  for (const mode of ["fast", "immediate"] as const) {
    await t.step(`everything works after restartPostgres("${mode}")`, async () => {
      const { postgres: before, ...others } = stack.pids;
      await amidCalls(stack, () => stack.restartPostgres(mode));
      const { postgres: after, ...same } = stack.pids;
      assert.notEqual(after, before);
      await everythingWorks(stack, sql, listener);
      assert.deepEqual(same, others, "a part did not bear it");
      const name = `made_after_${mode}`;
      await sql.unsafe(`create function tiny.${name}() returns int language sql as 'select 42'`);
      await until("the Data API sees what was made afterwards", () => answers(stack, name));
    });
  }

  await t.step("no answer hangs while a part is down", async () => {
    const killed = stack.pids.lite;
    Deno.kill(killed, "SIGKILL");
    const seen = new Set<number>();
    await until("it answers again", async () => {
      seen.add(await statusOf(stack, "answer"));
      return seen.has(200) && stack.pids.lite !== killed;
    });
    for (const status of seen) assert.ok([200, 502, 503].includes(status), `answered ${status}`);
    assert.ok(seen.size > 1, "the outage was not seen");
  });

  await t.step("cron rests between pause() and resume()", async () => {
    const runs = async () => (await sql`select max(runid)::int as last from cron.job_run_details`)[0]!.last as number;
    await stack.cron.pause();
    const [before, pausedAt] = [await runs(), Date.now()];
    await until("three runs would have been due", () => Date.now() > pausedAt + 3_000);
    assert.equal(await runs(), before);
    stack.cron.resume();
    await until("it runs again", async () => await runs() > before);
  });

  await t.step("Realtime that is switched off stays off over a restart, until it is switched on", async () => {
    using socket = await RealtimeSocket.open(stack.url, stack.publishableKey);
    await stack.realtime.setEnabled(false);
    assert.equal(await socket.closed, 1012);
    await assert.rejects(RealtimeSocket.open(stack.url, stack.publishableKey));
    await killRealtime(stack);
    await assert.rejects(RealtimeSocket.open(stack.url, stack.publishableKey));
    await stack.realtime.setEnabled(true);
    using again = await RealtimeSocket.open(stack.url, stack.publishableKey);
    assert.equal((await again.join("room")).payload.status, "ok");
  });

  await t.step("faults of Realtime outlast a restart, until they are taken back", async () => {
    await stack.realtime.setFaults({ dropChance: 1 });
    await killRealtime(stack);
    using socket = await RealtimeSocket.open(stack.url, stack.publishableKey);
    await socket.join("room", { broadcast: { self: true, ack: true } });
    await socket.broadcast("room", { n: 1 });
    assert.deepEqual(await socket.broadcasts(), []);
    await stack.realtime.setFaults({ dropChance: 0 });
    await socket.broadcast("room", { n: 2 });
    assert.deepEqual((await socket.broadcasts()).map(({ payload }) => payload.payload), [{ n: 2 }]);
  });

  await t.step("limits of Realtime are those that were asked for", async () => {
    using socket = await RealtimeSocket.open(stack.url, stack.publishableKey);
    const replies = [];
    for (const topic of ["a", "b", "c", "d"]) replies.push((await socket.join(topic)).payload.status);
    assert.deepEqual(replies, ["ok", "ok", "ok", "error"]);
  });

  await listener.end();
  await sql.end();
});

/** Through the public door: a call of the Data API, a function, a websocket, a message from SQL, a run of cron. */
async function everythingWorks(stack: LocalStack, sql: postgres.Sql, listener: Listener): Promise<void> {
  await until("the Data API answers", () => answers(stack, "answer"));
  await until("the function answers", async () => {
    const answer = await fetch(`${stack.url}/functions/v1/greet`).catch(() => undefined);
    return await answer?.text() === "hello";
  });
  await until("a new socket joins and hears itself", async () => {
    const socket = await RealtimeSocket.open(stack.url, stack.publishableKey).catch(() => undefined);
    if (!socket) return false;
    using _ = socket;
    await socket.join("room", { broadcast: { self: true, ack: true } });
    await socket.broadcast("room", {});
    return (await socket.broadcasts()).length === 1;
  });
  await until("the listener of the beginning hears a message from SQL", async () => {
    const id = crypto.randomUUID();
    await sql`select realtime.send(${sql.json({ id })}, 'hello', 'news', true)`.catch(() => {});
    return await listener.hears(id);
  });
  const [row] = await sql`select now()`;
  await until("cron runs", async () => (await sql`select from tiny.ticks where at > ${row!.now}`).length > 0);
}

/** Calls and joins are under way all the time. */
async function amidCalls(stack: LocalStack, work: () => Promise<void>): Promise<void> {
  let [working, calls] = [true, 0];
  const callers = Array.from({ length: 12 }, async () => {
    while (working) if (await answers(stack, "slow")) calls += 1;
  });
  const joiner = (async () => {
    using socket = await RealtimeSocket.open(stack.url, stack.publishableKey);
    while (working) await socket.join("news", { private: true });
  })();
  await until("calls are under way", () => calls > 20);
  await work();
  working = false;
  await Promise.all([...callers, joiner]);
}

async function answers(stack: LocalStack, name: string): Promise<boolean> {
  return await statusOf(stack, name) === 200;
}

async function statusOf(stack: LocalStack, name: string): Promise<number> {
  const answer = await fetch(`${stack.url}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: { apikey: stack.publishableKey, "content-type": "application/json", "content-profile": "tiny" },
    body: "{}",
  }).catch(() => undefined);
  await answer?.body?.cancel();
  return answer?.status ?? 0;
}

async function killRealtime(stack: LocalStack): Promise<void> {
  const killed = stack.pids.realtime;
  Deno.kill(killed, "SIGKILL");
  await until("Realtime is another process", () => stack.pids.realtime !== killed);
  // While it does not, it answers by itself, with a message; what Realtime answers without a websocket is plain text.
  await until("the gateway knows", async () => {
    const answer = await fetch(`${stack.url}/realtime/v1/websocket`);
    return ["Bad Request", "Service Unavailable"].includes(await answer.text());
  });
}

/** A subscription by the official client. */
class Listener {
  readonly #heard = new Set<string>();
  readonly #end: () => Promise<void>;

  private constructor(end: () => Promise<void>) {
    this.#end = end;
  }

  static async subscribe(stack: LocalStack): Promise<Listener> {
    const client = createClient(stack.url, stack.publishableKey, { auth: { persistSession: false } });
    const listener = new Listener(async () => {
      await client.removeAllChannels();
      await client.realtime.disconnect();
    });
    const channel = client.channel("news", { config: { private: true } });
    channel.on("broadcast", { event: "hello" }, ({ payload }) => void listener.#heard.add(payload.id));
    await new Promise<void>((resolve) => channel.subscribe((status) => status === "SUBSCRIBED" && resolve()));
    return listener;
  }

  /** Whether the message comes within a moment. */
  async hears(id: string): Promise<boolean> {
    await until("it is heard", () => this.#heard.has(id), 200).catch(() => {});
    return this.#heard.has(id);
  }

  end(): Promise<void> {
    return this.#end();
  }
}
