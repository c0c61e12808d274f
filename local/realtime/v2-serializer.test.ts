import assert from "node:assert/strict";
import { toBytes } from "./frames.ts";
import { golden } from "./golden.ts";
import { v2Serializer } from "./v2-serializer.ts";

Deno.test("realtime: V2 reads an array of five, ignoring what follows", () => {
  assert.deepEqual(
    v2Serializer.decode('["1","2","realtime:room","broadcast",{"event":"e"},"more"]'),
    { kind: "message", joinRef: "1", ref: "2", topic: "realtime:room", event: "broadcast", payload: { event: "e" } },
  );
  for (const text of ["", "{}", '["1","2","t","e"]', "[1,2,3,4,5]"]) {
    assert.equal(v2Serializer.decode(text), undefined, text);
  }
});

Deno.test("realtime: V2 writes replies as arrays", () => {
  const payload = { status: "ok", response: {} };
  assert.equal(
    v2Serializer.encode({
      kind: "message",
      joinRef: "1",
      ref: "1",
      topic: "realtime:room",
      event: "phx_reply",
      payload,
    }),
    '["1","1","realtime:room","phx_reply",{"status":"ok","response":{}}]',
  );
});

Deno.test("realtime: V2 reads a user broadcast push (kind 3)", () => {
  assert.deepEqual(v2Serializer.decode(golden(`03 01 01 0d 02 00 01 '1' '4' 'realtime:room' 'hi' '{"a":1}'`)), {
    kind: "broadcast",
    joinRef: "1",
    ref: "4",
    topic: "realtime:room",
    broadcast: { event: "hi", encoding: "json", body: toBytes('{"a":1}') },
  });
});

Deno.test("realtime: V2 reads a push of bytes, with metadata, without references, with an empty body", () => {
  assert.deepEqual(v2Serializer.decode(golden(`03 00 00 0c 03 02 00 'realtime:bü' 'bin' '{}'`)), {
    kind: "broadcast",
    joinRef: null,
    ref: null,
    topic: "realtime:bü",
    broadcast: { event: "bin", encoding: "binary", body: new Uint8Array() },
  });
});

Deno.test("realtime: V2 drops pushes that are cut short, of another kind, or with broken metadata", () => {
  for (
    const bytes of ["", "03", "03 01 01 0d 02 00 01 '1'", "04 01 01 00 01 'a' 'b'", "03 00 00 01 01 01 01 'a' 'b' '{'"]
  ) {
    assert.equal(v2Serializer.decode(golden(bytes)), undefined, bytes);
  }
});

Deno.test("realtime: V2 writes a user broadcast (kind 4), with the body untouched", () => {
  const topic = "realtime:room";
  const json = { event: "hi", encoding: "json" as const, body: toBytes('{"a":1}') };
  assert.deepEqual(
    v2Serializer.encode({ kind: "broadcast", topic, broadcast: json }),
    golden(`04 0d 02 00 01 'realtime:room' 'hi' '{"a":1}'`),
  );
  const bytes = { event: "bin", encoding: "binary" as const, body: Uint8Array.of(0, 255) };
  assert.deepEqual(
    v2Serializer.encode({ kind: "broadcast", topic, broadcast: bytes, meta: { id: "x", replayed: true } }),
    golden(`04 0d 03 1a 00 'realtime:room' 'bin' '{"id":"x","replayed":true}' 00 ff`),
  );
});

Deno.test("realtime: V2 carries fields of 255 bytes and not of 256", () => {
  const encode = (bytes: number) => {
    const broadcast = { event: "e", encoding: "json" as const, body: toBytes("{}") };
    return v2Serializer.encode({ kind: "broadcast", topic: "t".repeat(bytes), broadcast });
  };
  assert.equal(encode(255)?.length, 5 + 255 + 1 + 2);
  assert.throws(() => encode(256), RangeError);
});
