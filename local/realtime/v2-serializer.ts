import {
  type ClientFrame,
  parseJson,
  type Serializer,
  type ServerFrame,
  toBytes,
  toRef,
  toText,
  type WireData,
} from "./frames.ts";

const userBroadcastPush = 3;
const userBroadcast = 4;
const rawEncoding = 0;
const jsonEncoding = 1;
// Every length is one byte.
const maxFieldBytes = 255;

/** `vsn=2.0.0`: JSON arrays as text, and broadcasts as binary frames with a length-prefixed header. */
export const v2Serializer: Serializer = {
  decode: (data) => typeof data === "string" ? decodeText(data) : decodePush(data),
  encode: (frame) => frame.kind === "message" ? encodeText(frame) : encodeBroadcast(frame),
};

function decodeText(text: string): ClientFrame | undefined {
  const value = parseJson(text);
  if (!Array.isArray(value) || value.length < 5) return undefined;
  const [joinRef, ref, topic, event, payload] = value as unknown[];
  if (typeof topic !== "string" || typeof event !== "string") return undefined;
  return { kind: "message", joinRef: toRef(joinRef), ref: toRef(ref), topic, event, payload };
}

// 03 | len(join_ref) | len(ref) | len(topic) | len(event) | len(metadata) | encoding | the fields | body
function decodePush(data: Uint8Array<ArrayBuffer>): ClientFrame | undefined {
  if (data[0] !== userBroadcastPush || data.length < 7) return undefined;
  const fields: string[] = [];
  let offset = 7;
  for (const length of data.subarray(1, 6)) {
    fields.push(toText(data.subarray(offset, offset + length)));
    offset += length;
  }
  if (offset > data.length) return undefined;
  const [joinRef, ref, topic, event, metadata] = fields as [string, string, string, string, string];
  // Metadata has no meaning here, but has to be JSON.
  if (metadata !== "" && parseJson(metadata) === undefined) return undefined;
  const broadcast = {
    event,
    encoding: data[6] === rawEncoding ? "binary" as const : "json" as const,
    body: data.subarray(offset),
  };
  return { kind: "broadcast", joinRef: joinRef || null, ref: ref || null, topic, broadcast };
}

function encodeText(frame: ServerFrame & { kind: "message" }): WireData {
  return JSON.stringify([frame.joinRef, frame.ref, frame.topic, frame.event, frame.payload]);
}

// 04 | len(topic) | len(event) | len(metadata) | encoding | the fields | body
function encodeBroadcast({ topic, broadcast, meta }: ServerFrame & { kind: "broadcast" }): WireData {
  const fields = [topic, broadcast.event, meta ? JSON.stringify(meta) : ""].map(toBytes);
  if (fields.some((field) => field.length > maxFieldBytes)) {
    throw new RangeError(`Cannot encode a broadcast: topic, event and metadata have at most ${maxFieldBytes} bytes`);
  }
  const encoding = broadcast.encoding === "json" ? jsonEncoding : rawEncoding;
  return concat([
    Uint8Array.of(userBroadcast, ...fields.map((field) => field.length), encoding),
    ...fields,
    broadcast.body,
  ]);
}

function concat(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
