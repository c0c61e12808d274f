import assert from "node:assert/strict";
import { connectClient, Inbox, subscribe } from "./support/client.ts";
import { RawSocket } from "./support/raw-socket.ts";
import { answer, post, postBatch } from "./support/rest.ts";
import { connectDatabase, newTopic, stack } from "./support/stack.ts";

interface Pair extends Disposable {
  topic: string;
  open: RawSocket;
  closed: RawSocket;
  refs: { open: string; closed: string };
}

/** A member of the public and one of the private channel of one name. */
async function openPair(): Promise<Pair> {
  const topic = newTopic();
  const open = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  const closed = await RawSocket.open({ vsn: "2.0.0", key: stack.secretKey });
  const broadcast = { ack: true, self: true };
  const refs = {
    open: await open.join(topic, { broadcast }),
    closed: await closed.join(topic, { private: true, broadcast }),
  };
  return {
    topic,
    open,
    closed,
    refs,
    [Symbol.dispose]() {
      open[Symbol.dispose]();
      closed[Symbol.dispose]();
    },
  };
}

async function heard(socket: RawSocket): Promise<string[]> {
  return (await socket.rest()).map(({ payload }) => payload.event);
}

Deno.test("a client's message stays in its kind of channel", async () => {
  using pair = await openPair();
  await pair.open.broadcast(pair.topic, pair.refs.open, "open");
  await pair.closed.broadcast(pair.topic, pair.refs.closed, "closed");
  assert.deepEqual(await heard(pair.open), ["open"]);
  assert.deepEqual(await heard(pair.closed), ["closed"]);
});

Deno.test("presence stays in its kind of channel", async () => {
  using pair = await openPair();
  const track = { type: "presence", event: "track", payload: {} };
  await pair.closed.request(`realtime:${pair.topic}`, "presence", track, pair.refs.closed);
  assert.deepEqual(await pair.open.rest(), []);
});

Deno.test("over REST the flag decides, in a batch and alone", async () => {
  using pair = await openPair();
  const token = stack.secretKey;
  const message = { topic: pair.topic, payload: {} };
  const messages = [{ ...message, event: "open" }, { ...message, event: "closed", private: true }];
  assert.deepEqual(await answer(await postBatch(messages, { token })), [202, ""]);
  const path = `/${encodeURIComponent(pair.topic)}/events`;
  assert.deepEqual(await answer(await post(`${path}/open-alone`, "{}", { token })), [202, ""]);
  assert.deepEqual(await answer(await post(`${path}/closed-alone?private=true`, "{}", { token })), [202, ""]);
  assert.deepEqual(await heard(pair.open), ["open", "open-alone"]);
  assert.deepEqual(await heard(pair.closed), ["closed", "closed-alone"]);
});

Deno.test("from SQL the row's column decides", async () => {
  using pair = await openPair();
  await using database = connectDatabase();
  await database.sql`
    select realtime.send('{}'::jsonb, 'open', ${pair.topic}, false),
      realtime.send('{}'::jsonb, 'closed', ${pair.topic}, true),
      realtime.send_binary('\\x00'::bytea, 'open bytes', ${pair.topic}, false),
      realtime.send_binary('\\x00'::bytea, 'closed bytes', ${pair.topic}, true)`;
  for (const [socket, kind] of [[pair.open, "open"], [pair.closed, "closed"]] as const) {
    assert.equal((await socket.next()).payload.event, kind);
    assert.equal((await socket.next()).payload.event, `${kind} bytes`);
    assert.deepEqual(await socket.rest(), []);
  }
});

Deno.test("the official client: httpSend goes where its channel is", async () => {
  await using connection = connectClient({ key: stack.secretKey });
  await using others = connectClient({ key: stack.secretKey });
  const topic = newTopic();
  const [inOpen, inClosed] = [new Inbox<{ event: string }>(), new Inbox<{ event: string }>()];
  const open = connection.client.channel(topic).on("broadcast", { event: "*" }, inOpen.put);
  const closed = others.client.channel(topic, { config: { private: true } })
    .on("broadcast", { event: "*" }, inClosed.put);
  assert.equal((await subscribe(open)).status, "SUBSCRIBED");
  assert.equal((await subscribe(closed)).status, "SUBSCRIBED");
  assert.deepEqual(await closed.httpSend("closed", {}), { success: true });
  assert.deepEqual(await open.httpSend("open", {}), { success: true });
  assert.equal((await inOpen.next()).event, "open");
  assert.equal((await inClosed.next()).event, "closed");
});
