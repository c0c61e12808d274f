import assert from "node:assert/strict";
import { broadcastPush, RawSocket } from "./support/raw-socket.ts";
import { answer, post, postBatch } from "./support/rest.ts";
import { connectDatabase, newTopic, stack } from "./support/stack.ts";

const utf8 = new TextEncoder();

interface Room extends Disposable {
  subTopic: string;
  topic: string;
  /** Sends only. */
  senders: { v1: RawSocket; v2: RawSocket; joinRef: string };
  v1: RawSocket;
  v2: RawSocket;
}

/** A receiver of each version, and a sender of each. */
async function openRoom(config: { private?: boolean; broadcast?: Record<string, unknown> } = {}): Promise<Room> {
  const subTopic = newTopic();
  using sockets = new DisposableStack();
  const join = async (vsn: string): Promise<[RawSocket, string]> => {
    const socket = sockets.use(await RawSocket.open({ vsn, key: stack.secretKey }));
    return [socket, await socket.join(subTopic, config)];
  };
  const [v1] = await join("1.0.0");
  const [v2] = await join("2.0.0");
  const [senderV1] = await join("1.0.0");
  const [senderV2, joinRef] = await join("2.0.0");
  const owned = sockets.move();
  return {
    subTopic,
    topic: `realtime:${subTopic}`,
    senders: { v1: senderV1, v2: senderV2, joinRef },
    v1,
    v2,
    [Symbol.dispose]: () => owned.dispose(),
  };
}

/** The next frame of a V2 socket, which has to be this text. */
async function nextText(socket: RawSocket, frame: unknown[]): Promise<void> {
  assert.equal((await socket.next()).raw, JSON.stringify(frame));
}

/** The next frame of a V2 socket, which has to be a kind 4 frame that ends so. */
async function nextBinary(socket: RawSocket, encoding: 0 | 1, body: Uint8Array): Promise<void> {
  const { raw } = await socket.next();
  assert.ok(raw instanceof Uint8Array);
  assert.deepEqual([raw[0], raw[4]], [4, encoding]);
  assert.deepEqual(raw.subarray(-body.length), body);
}

async function nextObject(socket: RawSocket, payload: unknown): Promise<void> {
  const { raw: _, ...frame } = await socket.next();
  assert.deepEqual(frame, { topic: frame.topic, event: "broadcast", payload, ref: null });
}

Deno.test("a map sent as text, by V1 or V2, reaches both verbatim, extra keys included", async () => {
  using room = await openRoom();
  const map = { type: "broadcast", event: "e", payload: [1], more: { kept: true } };
  for (const sender of [room.senders.v1, room.senders.v2]) {
    sender.send(room.topic, "broadcast", map);
    await nextText(room.v2, [null, null, room.topic, "broadcast", map]);
    await nextObject(room.v1, map);
  }
});

Deno.test("a batch over REST reaches both as a map", async () => {
  using room = await openRoom();
  const message = { topic: room.subTopic, event: "e", payload: { n: 1 } };
  assert.deepEqual(await answer(await postBatch([{ ...message, id: "i" }])), [202, ""]);
  const map = { payload: { n: 1 }, event: "e", type: "broadcast", meta: { id: "i" } };
  await nextText(room.v2, [null, null, room.topic, "broadcast", map]);
  await nextObject(room.v1, map);
});

Deno.test("a JSON body reaches V2 untouched in a binary frame, and V1 as an object", async () => {
  using room = await openRoom();
  const body = utf8.encode('{"a":  1}');
  const { joinRef, v2 } = room.senders;
  v2.sendRaw(broadcastPush({ joinRef, topic: room.topic, event: "hi", body }));
  await nextBinary(room.v2, 1, body);
  const { raw } = await room.v1.next();
  // Spliced in as it is.
  assert.ok((raw as string).includes('"payload":{"a":  1}'));
  assert.deepEqual(JSON.parse(raw as string).payload, { event: "hi", payload: { a: 1 }, type: "broadcast" });
});

Deno.test("a single JSON message over REST reaches V2 in a binary frame, and V1 as an object", async () => {
  using room = await openRoom();
  const path = `/${encodeURIComponent(room.subTopic)}/events/hi`;
  assert.deepEqual(await answer(await post(path, '{"a":1}')), [202, ""]);
  await nextBinary(room.v2, 1, utf8.encode('{"a":1}'));
  await nextObject(room.v1, { event: "hi", payload: { a: 1 }, type: "broadcast" });
});

Deno.test("a message of the database reaches V2 in a binary frame, and V1 as an object, with meta in both", async () => {
  using room = await openRoom({ private: true });
  await using database = connectDatabase();
  await database.sql`select realtime.send('{"a":[1,2]}'::jsonb, 'hi', ${room.subTopic})`;
  const [row] = await database.sql`select id from realtime.messages where topic = ${room.subTopic}`;
  await nextBinary(room.v2, 1, utf8.encode(`{"a": [1, 2], "id": "${row!.id}"}`));
  const payload = { a: [1, 2], id: row!.id };
  await nextObject(room.v1, { event: "hi", payload, type: "broadcast", meta: { id: row!.id } });
});

Deno.test("bytes, from a client, REST or the database, reach V2 only", async () => {
  using room = await openRoom({ private: true });
  await using database = connectDatabase();
  const body = Uint8Array.of(0, 255);
  const { joinRef, v2 } = room.senders;
  v2.sendRaw(broadcastPush({ joinRef, topic: room.topic, event: "b", body, encoding: 0 }));
  await nextBinary(room.v2, 0, body);
  const path = `/${encodeURIComponent(room.subTopic)}/events/b?private=true`;
  const options = { type: "application/octet-stream", token: stack.secretKey };
  assert.deepEqual(await answer(await post(path, body, options)), [202, ""]);
  await nextBinary(room.v2, 0, body);
  await database.sql`select realtime.send_binary('\\x00ff'::bytea, 'b', ${room.subTopic})`;
  await nextBinary(room.v2, 0, body);
  assert.deepEqual(await room.v1.rest(), []);
});
