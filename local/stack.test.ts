import assert from "node:assert/strict";
import { join } from "node:path";
import { createClient } from "@supabase/supabase-js";
import { SignJWT } from "jose";
import postgres from "postgres";
import { silent } from "./log.ts";
import { isPortFree } from "./ports.ts";
import { forgetData, type LocalStack, startLocalStack } from "./stack.ts";
import { makeProject } from "./testing/project.ts";
import { isAlive, until } from "./testing/wait.ts";

const options = { ephemeral: true, log: silent };

const migration = `
create schema tiny;
create role tiny_worker nologin;
grant tiny_worker to authenticator;
grant usage on schema tiny to anon, authenticated, service_role, tiny_worker;
create table tiny.notes (id int primary key, owner uuid not null default auth.uid(), text text);
alter table tiny.notes enable row level security;
grant select, insert on tiny.notes to authenticated;
create policy own_notes on tiny.notes for all to authenticated
  using (owner = auth.uid()) with check (owner = auth.uid());
create function tiny.who(detail jsonb default null) returns jsonb language sql as $$
  select jsonb_build_object('user', current_user, 'kind', jsonb_typeof(detail),
    'tenant', current_setting('request.jwt.claims', true)::jsonb ->> 'tenant_id')
$$;
create function tiny.rows() returns table (n numeric, at timestamptz) language sql as $$
  select 1.50, timestamptz '2026-01-02 03:04:05.678901Z' from generate_series(1, 2)
$$;
create function tiny.refuse() returns void language plpgsql as $$
begin
  raise exception using errcode = 'MU007', message = 'Cannot do it', hint = 'slots_exceeded', detail = 'one';
end
$$;
create function tiny.closed() returns int language sql as 'select 1';
revoke execute on all functions in schema tiny from public;
grant execute on function tiny.who, tiny.rows, tiny.refuse to anon, tiny_worker;
`;

const greetFunction = `
import { delay } from "./delay.ts";
let left = false;
Deno.serve(async (request) => {
  await delay();
  const url = new URL(request.url);
  if (url.pathname === "/greet/left") return Response.json({ left });
  if (url.pathname === "/greet/stream") {
    const body = new ReadableStream({
      start: (controller) => controller.enqueue(new TextEncoder().encode("data: first\\n\\n")),
      cancel: () => void (left = true),
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  }
  if (url.pathname === "/greet/crash") setTimeout(() => Deno.exit(7), 10);
  return Response.json({
    path: url.pathname + url.search,
    method: request.method,
    body: await request.text(),
    pid: Deno.pid,
    secretKeys: JSON.parse(Deno.env.get("SUPABASE_SECRET_KEYS") ?? "{}"),
    supabaseUrl: Deno.env.get("SUPABASE_URL"),
  });
});
`;

const project = () =>
  makeProject({
    "supabase/config.toml":
      `[api]\nschemas = ["tiny", "public"]\n[storage.buckets.papers]\npublic = false # only signed\n`,
    "supabase/migrations/20260101000000_tiny.sql": migration,
    "functions/greet/index.ts": greetFunction,
    "functions/greet/delay.ts": "export const delay = () => Promise.resolve();\n",
    "functions/broken/index.ts": `throw new Error("cannot be loaded");\n`,
    "functions/_shared/index.ts": `throw new Error("is no function");\n`,
  });

Deno.test("a local stack", async (t) => {
  await using tiny = await project();
  const stack = await startLocalStack({ ...options, project: tiny.path });
  const anon = createClient(stack.url, stack.publishableKey, { auth: { persistSession: false } });
  const service = createClient(stack.url, stack.secretKey, { auth: { persistSession: false } });
  const sql = postgres(stack.dbUrl, { max: 2, onnotice: () => {} });

  await t.step("keeps the history of migrations that the Supabase CLI writes", async () => {
    const rows = await sql`select version, name from supabase_migrations.schema_migrations`;
    assert.deepEqual([...rows], [{ version: "20260101000000", name: "tiny" }]);
  });

  await t.step(
    "calls a function as the role of the token, with its claims and jsonb arguments as they are",
    async () => {
      const token = await sign(stack, { role: "tiny_worker", tenant_id: "t1" });
      const answer = await rpc(stack, "who", { detail: { a: [1] } }, token);
      assert.deepEqual(answer, { status: 200, body: { user: "tiny_worker", kind: "object", tenant: "t1" } });
    },
  );

  await t.step("swaps the publishable key for anon and the secret key for service_role", async () => {
    assert.equal((await rpc(stack, "who", {})).body.user, "anon");
    const { status, body } = await rpc(stack, "who", {}, undefined, stack.secretKey);
    assert.deepEqual([status, body.code], [403, "42501"], "service_role was not granted it");
    assert.equal((await rpc(stack, "who", {}, undefined, "sb_publishable_wrong")).status, 401);
    assert.equal((await rpc(stack, "who", {}, undefined, "")).status, 401);
  });

  await t.step("takes no key or password that anybody could know", async () => {
    const secret = "super-secret-jwt-token-with-at-least-32-characters-long";
    const forged = await sign({ jwtSecret: secret }, { role: "service_role" });
    assert.equal((await rpc(stack, "who", {}, forged)).status, 401);
    assert.equal((await rpc(stack, "who", {}, undefined, forged)).status, 401);
    for (const known of [stack.dbUrl, stack.adminDbUrl]) {
      const url = new URL(known);
      url.password = "postgres";
      const guessing = postgres(url.href, { max: 1 });
      await assert.rejects(guessing`select 1`, { code: "28P01" });
      await guessing.end();
    }
  });

  await t.step("writes rows as PostgREST does", async () => {
    const row = { n: 1.5, at: "2026-01-02T03:04:05.678901+00:00" };
    assert.deepEqual(await rpc(stack, "rows", {}), { status: 200, body: [row, row] });
  });

  await t.step("passes a raised SQLSTATE on, with detail and hint", async () => {
    const body = { code: "MU007", details: "one", hint: "slots_exceeded", message: "Cannot do it" };
    assert.deepEqual(await rpc(stack, "refuse", {}), { status: 400, body });
  });

  await t.step("refuses a function that is not granted, a missing one, and bad tokens", async () => {
    const foreign = await sign({ jwtSecret: "x".repeat(32) }, { role: "tiny_worker" });
    const unknownRole = await sign(stack, { role: "postgres" });
    const expired = await sign(stack, { role: "tiny_worker" }, 1);
    const outcomes = [
      [await rpc(stack, "closed", {}), 401, "42501"],
      [await rpc(stack, "closed", {}, await sign(stack, { role: "tiny_worker" })), 403, "42501"],
      [await rpc(stack, "nothing", {}), 404, "PGRST202"],
      [await rpc(stack, "who", { unknown: 1 }), 404, "PGRST202"],
      [await rpc(stack, "who", {}, foreign), 401, "PGRST301"],
      [await rpc(stack, "who", {}, expired), 401, "PGRST303"],
      [await rpc(stack, "who", {}, unknownRole), 403, "42501"],
    ] as const;
    for (const [{ status, body }, ...expected] of outcomes) assert.deepEqual([status, body.code], expected);
  });

  await t.step("sees a function made after the start", async () => {
    await sql.unsafe(
      "create function tiny.late() returns int language sql as 'select 3'; grant execute on function tiny.late to anon;",
    );
    await until("the new function is found", async () => (await rpc(stack, "late", {})).status === 200);
  });

  await t.step("signs users up and in, and row level security shows each their own rows", async () => {
    const credentials = { email: "ada@example.com", password: "correct horse battery" };
    assert.equal((await anon.auth.signUp(credentials)).error, null);
    const { data, error } = await anon.auth.signInWithPassword(credentials);
    assert.equal(error, null);
    const notes = () => anon.schema("tiny").from("notes");
    assert.equal((await notes().insert({ id: 1, text: "mine" })).error, null);
    await sql`insert into tiny.notes values (2, gen_random_uuid(), 'not mine')`;
    assert.deepEqual((await notes().select("id, owner")).data, [{ id: 1, owner: data.user!.id }]);
    await anon.auth.signOut();
  });

  await t.step("grants nothing that the migrations did not", async () => {
    const { error } = await anon.schema("tiny").from("notes").select();
    assert.equal(error?.code, "42501");
  });

  await t.step("stores and hands out files by signed URLs", async () => {
    const papers = service.storage.from("papers");
    const { data: upload } = await papers.createSignedUploadUrl("t1/a report.txt");
    const put = await fetch(upload!.signedUrl, {
      method: "PUT",
      body: "words",
      headers: { "content-type": "text/x-report" },
    });
    assert.equal(put.status, 200);
    const { data: download } = await papers.createSignedUrl("t1/a report.txt", 60);
    const got = await fetch(download!.signedUrl);
    assert.equal(await got.text(), "words");
    assert.equal(got.headers.get("content-type"), "text/x-report");
    assert.notEqual((await fetch(download!.signedUrl.slice(0, -3) + "abc")).status, 200);
  });

  await t.step("takes the form that supabase-js makes of a Blob", async () => {
    const papers = service.storage.from("papers");
    const { data } = await papers.createSignedUploadUrl("t1/blob");
    const blob = new Blob(["from a blob"], { type: "text/plain" });
    assert.equal((await papers.uploadToSignedUrl("t1/blob", data!.token, blob)).error, null);
    assert.equal(await (await papers.download("t1/blob")).data!.text(), "from a blob");
    assert.notEqual((await anon.storage.from("papers").download("t1/blob")).error, null);
  });

  await t.step("serves functions with their own name first in the path and the platform's environment", async () => {
    const answer = await fetch(`${stack.url}/functions/v1/greet/a?b=c`, { method: "POST", body: "hello" });
    const { pid, ...rest } = await answer.json();
    assert.equal(pid, stack.pids.functions);
    assert.deepEqual(rest, {
      path: "/greet/a?b=c",
      method: "POST",
      body: "hello",
      secretKeys: { default: stack.secretKey },
      supabaseUrl: stack.url,
    });
  });

  await t.step("streams an answer as it comes, and lets the function know when the caller leaves", async () => {
    const leave = new AbortController();
    const answer = await fetch(`${stack.url}/functions/v1/greet/stream`, { signal: leave.signal });
    const { value } = await answer.body!.getReader().read();
    assert.equal(new TextDecoder().decode(value), "data: first\n\n");
    leave.abort();
    await until("the function is told", async () => {
      const { left } = await (await fetch(`${stack.url}/functions/v1/greet/left`)).json();
      return left;
    });
  });

  await t.step("answers 503 for a function that cannot be loaded, 404 for none", async () => {
    const status = async (name: string) => {
      const answer = await fetch(`${stack.url}/functions/v1/${name}`);
      await answer.body?.cancel();
      return answer.status;
    };
    assert.deepEqual(await Promise.all(["broken", "missing", "_shared"].map(status)), [503, 404, 404]);
  });

  await t.step("starts the functions again after a crash", async () => {
    const crashed = stack.pids.functions;
    await (await fetch(`${stack.url}/functions/v1/greet/crash`)).body?.cancel();
    await until("the functions answer again", async () => {
      const answer = await fetch(`${stack.url}/functions/v1/greet`);
      const { pid } = await answer.json();
      return answer.ok && pid !== crashed;
    });
  });

  await t.step("passes a broadcast from SQL to a listener", async () => {
    await sql.unsafe("create policy everybody on realtime.messages for select to anon using (true)");
    const received = Promise.withResolvers<unknown>();
    const channel = anon.channel("room", { config: { private: true } });
    channel.on("broadcast", { event: "hello" }, ({ payload }) => received.resolve(payload));
    await new Promise<void>((resolve, reject) =>
      channel.subscribe((state, error) => state === "SUBSCRIBED" ? resolve() : error ? reject(error) : undefined)
    );
    await sql`select realtime.send('{"a": 1, "id": "x"}', 'hello', 'room', true)`;
    assert.deepEqual(await received.promise, { a: 1, id: "x" });
    await anon.removeAllChannels();
    await anon.realtime.disconnect();
  });

  await t.step("goes on after Postgres was killed, with what was committed", async () => {
    const killed = stack.pids.postgres!;
    await sql`insert into tiny.notes values (3, gen_random_uuid(), 'committed')`;
    Deno.kill(killed, "SIGKILL");
    await until("calls are answered again", async () => {
      const answer = await rpc(stack, "who", {}).catch(() => undefined);
      return answer?.status === 200 && stack.pids.postgres !== killed;
    });
    await until(
      "the row is read",
      async () => (await sql`select from tiny.notes where id = 3`.catch(() => [])).length === 1,
    );
  });

  await t.step("leaves no process, port or file behind", async () => {
    await sql.end();
    await stack.stop();
    const { launcher: _, ...children } = stack.pids;
    for (const [name, pid] of Object.entries(children)) assert.ok(!isAlive(pid), `${name} still runs`);
    for (const url of [stack.url, stack.dbUrl]) assert.ok(isPortFree(Number(new URL(url).port)));
    await assert.rejects(Deno.stat(stack.dataDir), Deno.errors.NotFound);
  });
});

Deno.test("a start keeps the data of the last one, and applies what is new", async () => {
  await using tiny = await makeProject();
  const dataDir = await Deno.makeTempDir({ prefix: "muster data " });
  const start = () => startLocalStack({ dataDir, project: tiny.path, ports: { gateway: 0, database: 0 }, log: silent });
  let firstKeys: unknown;
  {
    await using first = await start();
    await query(first, "create table tiny.kept as select 1 as n");
    firstKeys = keysOf(first);
  }
  const added = join(tiny.path, "supabase/migrations/20260102000000_more.sql");
  await Deno.writeTextFile(added, "create table tiny.more as select 2 as n;");
  {
    await using second = await start();
    assert.deepEqual(keysOf(second), firstKeys);
    assert.deepEqual(await query(second, "select k.n, m.n as m from tiny.kept k, tiny.more m"), [{ n: 1, m: 2 }]);
  }
  await Deno.writeTextFile(added, "create table tiny.more as select 3 as n;");
  await assert.rejects(start(), /20260102000000_more\.sql changed after being applied.*--reset/);
  await forgetData(dataDir);
});

Deno.test("a start that is called off leaves nothing", async () => {
  await using tiny = await makeProject();
  const abort = new AbortController();
  const starting = startLocalStack({ ...options, project: tiny.path, signal: abort.signal });
  abort.abort(new Error("called off"));
  await assert.rejects(starting, /called off/);
});

function keysOf(stack: LocalStack): unknown {
  const { jwtSecret, publishableKey, secretKey, anonKey, serviceRoleKey } = stack;
  const password = (url: string) => new URL(url).password;
  const passwords = [password(stack.dbUrl), password(stack.adminDbUrl)];
  return { jwtSecret, publishableKey, secretKey, anonKey, serviceRoleKey, passwords };
}

async function rpc(
  stack: LocalStack,
  name: string,
  args: unknown,
  token?: string,
  apikey = stack.publishableKey,
  // deno-lint-ignore no-explicit-any -- the assertions say what it is
): Promise<{ status: number; body: any }> {
  const headers = new Headers({ "content-type": "application/json" });
  if (apikey) headers.set("apikey", apikey);
  if (token) headers.set("authorization", `Bearer ${token}`);
  const answer = await fetch(`${stack.url}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers,
    body: JSON.stringify(args),
  });
  return { status: answer.status, body: await answer.json() };
}

function sign({ jwtSecret }: { jwtSecret: string }, claims: Record<string, unknown>, expires: number | string = "5m") {
  const token = new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).setIssuedAt().setExpirationTime(expires);
  return token.sign(new TextEncoder().encode(jwtSecret));
}

async function query(stack: LocalStack, text: string): Promise<unknown[]> {
  const sql = postgres(stack.dbUrl, { max: 1 });
  try {
    return [...await sql.unsafe(text)];
  } finally {
    await sql.end();
  }
}
