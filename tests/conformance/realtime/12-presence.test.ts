import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { ignore, startRealtime } from "./support/own-server.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { connectDatabase, grantTopic, newTopic } from "./support/stack.ts";

const track = (payload: unknown) => ({ type: "presence", event: "track", payload });
const untrack = { type: "presence", event: "untrack" };
const ok = { status: "ok", response: {} };

Deno.test("state first, then a diff for a join, a change and a leave", async () => {
  using watcher = await RawSocket.open({ vsn: "2.0.0" });
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  const watcherRef = await watcher.join(subTopic, { presence: { enabled: true } });
  assert.equal((await watcher.next()).raw, JSON.stringify([watcherRef, null, topic, "presence_state", {}]));
  const joinRef = await socket.join(subTopic, { presence: { key: "k" } });

  const request = (payload: unknown) => socket.request(topic, "presence", payload, joinRef);
  assert.deepEqual((await request(track({ name: "a" }))).payload, ok);
  const joined = await watcher.next();
  assert.deepEqual([joined.event, joined.joinRef, joined.ref], ["presence_diff", null, null]);
  const first = joined.payload.joins.k.metas[0];
  assert.match(first.phx_ref, /^[\w-]{16}$/);
  assert.deepEqual(joined.payload, { joins: { k: { metas: [{ name: "a", phx_ref: first.phx_ref }] } }, leaves: {} });

  // The same once more says nothing.
  assert.deepEqual((await request(track({ name: "a" }))).payload, ok);
  assert.deepEqual((await request(track({ name: "b" }))).payload, ok);
  const changed = (await watcher.next()).payload;
  const second = changed.joins.k.metas[0];
  assert.deepEqual(changed, {
    joins: { k: { metas: [{ name: "b", phx_ref: second.phx_ref, phx_ref_prev: first.phx_ref }] } },
    leaves: { k: { metas: [first] } },
  });
  assert.notEqual(second.phx_ref, first.phx_ref);

  assert.deepEqual((await request({ ...untrack, event: "UNTRACK" })).payload, ok);
  assert.deepEqual((await watcher.next()).payload, { joins: {}, leaves: { k: { metas: [second] } } });
  assert.deepEqual(await watcher.rest(), []);
});

Deno.test("a key may be left out: the server makes one up, another for each channel", async () => {
  using watcher = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  await watcher.join(subTopic, { presence: { enabled: true } });
  await watcher.next();
  const keys = new Set<string>();
  for (const presence of [{}, { key: "" }, { key: null }]) {
    using socket = await RawSocket.open({ vsn: "2.0.0" });
    await socket.join(subTopic, { presence });
    await socket.request(`realtime:${subTopic}`, "presence", track({}));
    const [key] = Object.keys((await watcher.next()).payload.joins);
    assert.match(key!, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
    keys.add(key!);
    socket[Symbol.dispose]();
    await watcher.next();
  }
  assert.equal(keys.size, 3);
});

Deno.test("one key over two sockets has two metas, and a lost socket leaves", async () => {
  using watcher = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const sockets = [await RawSocket.open({ vsn: "2.0.0" }), await RawSocket.open({ vsn: "2.0.0" })];
  for (const [index, socket] of sockets.entries()) {
    await socket.join(subTopic, { presence: { key: "k" } });
    await socket.request(`realtime:${subTopic}`, "presence", track({ index }));
  }
  await watcher.join(subTopic, { presence: { enabled: true } });
  const indexes = ({ metas }: { metas: { index: number }[] }) => metas.map(({ index }) => index);
  assert.deepEqual(indexes((await watcher.next()).payload.k), [0, 1]);

  sockets[0]![Symbol.dispose]();
  assert.deepEqual(indexes((await watcher.next()).payload.leaves.k), [0]);
  sockets[1]![Symbol.dispose]();
  assert.deepEqual(indexes((await watcher.next()).payload.leaves.k), [1]);
});

Deno.test("a process that dies without a word has left", async () => {
  using watcher = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  await watcher.join(subTopic, { presence: { enabled: true } });
  await watcher.next();
  const address = RawSocket.address({ vsn: "2.0.0" });
  const script = `
    const socket = new WebSocket(${JSON.stringify(address.href)});
    const send = (...frame) => socket.send(JSON.stringify(frame));
    const topic = ${JSON.stringify(`realtime:${subTopic}`)};
    socket.onopen = () => {
      send("1", "1", topic, "phx_join", { config: { presence: { key: "k" } } });
      send("1", "2", topic, "presence", { event: "track", payload: {} });
    };`;
  const child = new Deno.Command(Deno.execPath(), { args: ["eval", script], stdout: "null", stderr: "null" }).spawn();
  assert.deepEqual(Object.keys((await watcher.next()).payload.joins), ["k"]);
  child.kill("SIGKILL");
  await child.status;
  assert.deepEqual(Object.keys((await watcher.next()).payload.leaves), ["k"]);
});

Deno.test("leaving, too, takes the presence away, and those who stay keep theirs", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  using watcher = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  await watcher.join(subTopic, { presence: { enabled: true, key: "w" } });
  await watcher.request(`realtime:${subTopic}`, "presence", track({}));
  await watcher.rest();
  const joinRef = await socket.join(subTopic, { presence: { key: "s" } });
  await socket.request(`realtime:${subTopic}`, "presence", track({}));
  await socket.request(`realtime:${subTopic}`, "phx_leave", {}, joinRef);
  assert.deepEqual(Object.keys((await watcher.next()).payload.joins), ["s"]);
  assert.deepEqual(Object.keys((await watcher.next()).payload.leaves), ["s"]);
  await socket.join(subTopic, { presence: { enabled: true } });
  const state = await socket.next((frame) => frame.event === "presence_state");
  assert.deepEqual(Object.keys(state.payload), ["w"]);
});

Deno.test("who tracks sees the own diff, and on a public channel those without presence see it, too, but no state", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  using plain = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  await plain.join(subTopic);
  await socket.join(subTopic, { presence: { key: "k" } });
  assert.deepEqual(await plain.rest(), []);
  await socket.request(`realtime:${subTopic}`, "presence", track({}));
  for (const each of [socket, plain]) {
    assert.deepEqual((await each.rest()).map(({ event }) => event), ["presence_diff"]);
  }
});

Deno.test("on a private channel only who may read presence sees it", { ignore }, async () => {
  await using server = await startRealtime();
  await using database = connectDatabase();
  const topic = newTopic();
  await using _policies = await grantTopic(database.sql, topic, { read: ["broadcast"] });
  using service = await server.open({ role: "service_role" });
  await service.join(topic, { private: true });
  using enabled = await server.open();
  await enabled.join(topic, { private: true, presence: { enabled: true } });
  using plain = await server.open();
  await plain.join(topic, { private: true });
  await service.request(`realtime:${topic}`, "presence", track({}));
  assert.deepEqual(await enabled.rest(), []);
  assert.deepEqual(await plain.rest(), []);
  assert.deepEqual((await service.rest()).map(({ event }) => event), ["presence_diff"]);
});

Deno.test("what makes no sense is answered, and harms nothing", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  await socket.join(subTopic);
  const ask = async (payload: unknown) => (await socket.request(`realtime:${subTopic}`, "presence", payload)).payload;
  const reason = "Presence track payload must be a map";
  assert.deepEqual(await ask(track([1])), { status: "error", response: { reason } });
  assert.deepEqual(await ask(track(null)), { status: "error", response: { reason } });
  assert.deepEqual(await ask({ event: "wave" }), { status: "error", response: {} });
  assert.deepEqual(await ask({ type: "presence" }), ok);
  assert.deepEqual(await ask("text"), ok);
  // Without a payload nothing in particular is tracked.
  assert.deepEqual(await ask({ event: "track" }), ok);
  assert.deepEqual((await socket.rest()).map(({ event }) => event), ["presence_diff"]);
});

Deno.test("the official client sees state, join, change and leave, under both keys", async () => {
  await using one = connectClient();
  await using two = connectClient();
  const topic = newTopic();
  const joins = new Inbox<{ key: string; newPresences: { status?: string }[] }>();
  const leaves = new Inbox<{ key: string; leftPresences: { status?: string }[] }>();
  const watcher = one.client.channel(topic, { config: { presence: { key: "watcher" } } });
  watcher.on("presence", { event: "join" }, joins.put).on("presence", { event: "leave" }, leaves.put);
  assert.equal((await subscribe(watcher)).status, "SUBSCRIBED");
  const present = two.client.channel(topic, { config: { presence: { key: "worker" } } });
  assert.equal((await subscribe(present)).status, "SUBSCRIBED");

  assert.equal(await present.track({ status: "idle" }), "ok");
  const joined = await joins.next();
  assert.deepEqual([joined.key, joined.newPresences[0]!.status], ["worker", "idle"]);
  assert.deepEqual(Object.keys(watcher.presenceState()), ["worker"]);
  assert.equal(await present.track({ status: "busy" }), "ok");
  assert.equal((await joins.next()).newPresences[0]!.status, "busy");
  assert.equal((await leaves.next()).leftPresences[0]!.status, "idle");
  assert.equal(await present.untrack(), "ok");
  assert.deepEqual([(await leaves.next()).key, watcher.presenceState()], ["worker", {}]);
});
