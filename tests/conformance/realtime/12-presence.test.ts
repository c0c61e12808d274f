import assert from "node:assert/strict";
import { RawSocket } from "./support/raw-socket.ts";
import { newTopic } from "./support/stack.ts";

const track = (payload: unknown) => ({ type: "presence", event: "track", payload });

Deno.test("state first, then a diff for a join, a change and a leave", async () => {
  using watcher = await RawSocket.open({ vsn: "2.0.0" });
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  await watcher.join(subTopic, { presence: { enabled: true } });
  assert.deepEqual((await watcher.next()).payload, {});
  const joinRef = await socket.join(subTopic, { presence: { key: "k" } });

  await socket.request(topic, "presence", track({ name: "a" }), joinRef);
  const joined = (await watcher.nextEvent("presence_diff")).payload;
  const first = joined.joins.k.metas[0];
  assert.deepEqual(joined, { joins: { k: { metas: [{ name: "a", phx_ref: first.phx_ref }] } }, leaves: {} });

  await socket.request(topic, "presence", track({ name: "a" }), joinRef);
  await socket.request(topic, "presence", track({ name: "b" }), joinRef);
  const changed = (await watcher.nextEvent("presence_diff")).payload;
  const second = changed.joins.k.metas[0];
  assert.deepEqual(changed, {
    joins: { k: { metas: [{ name: "b", phx_ref: second.phx_ref, phx_ref_prev: first.phx_ref }] } },
    leaves: { k: { metas: [first] } },
  });

  await socket.request(topic, "presence", { type: "presence", event: "UNTRACK" }, joinRef);
  assert.deepEqual((await watcher.nextEvent("presence_diff")).payload, {
    joins: {},
    leaves: { k: { metas: [second] } },
  });
});

Deno.test("one key over two sockets has two metas, and a lost socket leaves", async () => {
  using watcher = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  const topic = `realtime:${subTopic}`;
  const sockets = [await RawSocket.open({ vsn: "2.0.0" }), await RawSocket.open({ vsn: "2.0.0" })];
  for (const [index, socket] of sockets.entries()) {
    await socket.join(subTopic, { presence: { key: "k" } });
    await socket.request(topic, "presence", track({ index }));
  }
  await watcher.join(subTopic, { presence: { enabled: true } });
  const state = (await watcher.nextEvent("presence_state")).payload;
  assert.deepEqual(state.k.metas.map((meta: { index: number }) => meta.index), [0, 1]);

  sockets[0]![Symbol.dispose]();
  const { leaves } = (await watcher.nextEvent("presence_diff")).payload;
  assert.deepEqual(leaves.k.metas.map((meta: { index: number }) => meta.index), [0]);
  sockets[1]![Symbol.dispose]();
});

Deno.test("a payload that is no object is refused, an unknown event too", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  await socket.join(subTopic);
  const ask = async (payload: unknown) => (await socket.request(`realtime:${subTopic}`, "presence", payload)).payload;
  const reason = "Presence track payload must be a map";
  assert.deepEqual(await ask(track([1])), { status: "error", response: { reason } });
  assert.deepEqual(await ask({ event: "wave" }), { status: "error", response: {} });
  assert.deepEqual(await ask({ type: "presence" }), { status: "ok", response: {} });
});

Deno.test("the sixth presence call within half a minute ends the channel", async () => {
  using socket = await RawSocket.open({ vsn: "2.0.0" });
  const subTopic = newTopic();
  await socket.join(subTopic);
  for (let call = 1; call <= 6; call++) socket.send(`realtime:${subTopic}`, "presence", track({ call }));
  assert.equal((await socket.nextEvent("system")).payload.message, "Client presence rate limit exceeded");
  await socket.nextEvent("phx_close");
});
