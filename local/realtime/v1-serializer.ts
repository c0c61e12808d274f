import { isRecord, parseJson, type Serializer, toRef, toText } from "./frames.ts";

/** `vsn=1.0.0`: every frame is one JSON object; bytes cannot be carried. */
export const v1Serializer: Serializer = {
  decode(data) {
    const value = parseJson(typeof data === "string" ? data : toText(data));
    if (!isRecord(value)) return undefined;
    const { topic, event, payload, ref, join_ref } = value;
    if (typeof topic !== "string" || typeof event !== "string") return undefined;
    if (payload === undefined || ref === undefined) return undefined;
    return { kind: "message", joinRef: toRef(join_ref), ref: toRef(ref), topic, event, payload };
  },

  encode(frame) {
    // `ref` stands in every frame, null or not: the Python client demands the key.
    if (frame.kind === "message") {
      const { event, payload, ref, topic } = frame;
      return JSON.stringify({ event, payload, ref, topic });
    }
    const { topic, broadcast, meta } = frame;
    if (broadcast.encoding === "binary") return undefined;
    const metaField = meta ? `"meta":${JSON.stringify(meta)},` : "";
    const payload = `{"event":${JSON.stringify(broadcast.event)},${metaField}` +
      `"payload":${toText(broadcast.body)},"type":"broadcast"}`;
    return `{"event":"broadcast","payload":${payload},"ref":null,"topic":${JSON.stringify(topic)}}`;
  },
};
