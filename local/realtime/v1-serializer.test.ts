import assert from "node:assert/strict";
import { toBytes } from "./frames.ts";
import { v1Serializer } from "./v1-serializer.ts";

Deno.test("realtime: V1 reads an object, in text or in bytes, with or without join_ref", () => {
  const text = '{"topic":"realtime:room","event":"phx_join","payload":{},"ref":"1","join_ref":"1"}';
  const frame = { kind: "message", joinRef: "1", ref: "1", topic: "realtime:room", event: "phx_join", payload: {} };
  assert.deepEqual(v1Serializer.decode(text), frame);
  assert.deepEqual(v1Serializer.decode(toBytes(text)), frame);
  assert.deepEqual(
    v1Serializer.decode('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}'),
    { kind: "message", joinRef: null, ref: null, topic: "phoenix", event: "heartbeat", payload: {} },
  );
});

Deno.test("realtime: V1 reads nothing from what is no JSON or lacks a key", () => {
  for (const text of ["", "{", "[]", "null", '{"topic":"a","event":"b","payload":{}}', '{"topic":"a","ref":"1"}']) {
    assert.equal(v1Serializer.decode(text), undefined, text);
  }
});

Deno.test("realtime: V1 writes four keys, ref even when null, join_ref never", () => {
  const frame = { kind: "message", joinRef: "1", ref: null, topic: "t", event: "e", payload: { a: 1 } } as const;
  assert.equal(v1Serializer.encode(frame), '{"event":"e","payload":{"a":1},"ref":null,"topic":"t"}');
});

Deno.test("realtime: V1 splices a JSON body in as it is and cannot carry bytes", () => {
  const broadcast = { event: "hi", encoding: "json" as const, body: toBytes('{"a":  1}') };
  const topic = "realtime:room";
  assert.equal(
    v1Serializer.encode({ kind: "broadcast", topic, broadcast, meta: { id: "x" } }),
    '{"event":"broadcast","payload":{"event":"hi","meta":{"id":"x"},"payload":{"a":  1},"type":"broadcast"},' +
      '"ref":null,"topic":"realtime:room"}',
  );
  const bytes = { event: "hi", encoding: "binary" as const, body: Uint8Array.of(1) };
  assert.equal(v1Serializer.encode({ kind: "broadcast", topic, broadcast: bytes }), undefined);
});
