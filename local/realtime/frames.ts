/** The reference a client puts on a message so that it knows the answer again. */
export type Ref = string | null;

/** A message whose body is relayed as it came: never decoded, never re-encoded. */
export interface UserBroadcast {
  event: string;
  encoding: "json" | "binary";
  body: Uint8Array<ArrayBuffer>;
}

/** What the server adds to a message of its own. */
export interface Meta {
  id: string;
  replayed?: true;
}

export type ClientFrame =
  | { kind: "message"; joinRef: Ref; ref: Ref; topic: string; event: string; payload: unknown }
  | { kind: "broadcast"; joinRef: Ref; ref: Ref; topic: string; broadcast: UserBroadcast };

export type ServerFrame =
  | { kind: "message"; joinRef: Ref; ref: Ref; topic: string; event: string; payload: unknown }
  | { kind: "broadcast"; topic: string; broadcast: UserBroadcast; meta?: Meta };

export type WireData = string | Uint8Array<ArrayBuffer>;

/** One version of the wire format. */
export interface Serializer {
  /** Undefined for what is no frame: the server drops it without an answer. */
  decode(data: WireData): ClientFrame | undefined;
  /** Undefined for what this version has no form for; throws for what is too long for it. */
  encode(frame: ServerFrame): WireData | undefined;
}

const utf8 = { encoder: new TextEncoder(), decoder: new TextDecoder() };

export function toBytes(text: string): Uint8Array<ArrayBuffer> {
  return utf8.encoder.encode(text);
}

export function toText(bytes: Uint8Array): string {
  return utf8.decoder.decode(bytes);
}

/** The JSON value in the text, or undefined where there is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Clients count in strings; a number is kept as its digits. */
export function toRef(value: unknown): Ref {
  return value === null || value === undefined ? null : String(value);
}
