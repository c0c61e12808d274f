import { isRecord, toBytes } from "./frames.ts";
import { exceedsPayload, type RealtimeLimits } from "./limits.ts";

export interface BatchMessage {
  topic: string;
  event: string;
  payload: Record<string, unknown>;
  isPrivate: boolean;
  id: string | undefined;
}

type FieldErrors = Record<string, string[]>;
type BatchErrors = FieldErrors[] | string[];

/** Reads the messages of a batch; one bad message refuses them all, with errors by position. */
export function parseBatch(
  body: unknown,
  limits: RealtimeLimits,
): { messages: BatchMessage[] } | { errors: BatchErrors } {
  const items: unknown = isRecord(body) ? body.messages : undefined;
  if (items === undefined || items === null || (Array.isArray(items) && items.length === 0)) {
    return { errors: ["can't be blank"] };
  }
  if (!Array.isArray(items)) return { errors: ["is invalid"] };
  if (!items.every(isRecord)) return { errors: ["is invalid"] };
  const errors = items.map((item) => errorsOf(item, limits));
  if (errors.some((fields) => Object.keys(fields).length > 0)) return { errors };
  return { messages: items.map(toMessage) };
}

export function invalidMessages(errors: BatchErrors): { errors: { messages: BatchErrors } } {
  return { errors: { messages: errors } };
}

function errorsOf(item: Record<string, unknown>, limits: RealtimeLimits): FieldErrors {
  const errors: FieldErrors = {};
  for (const field of ["topic", "event"]) {
    const value = item[field] ?? "";
    if (typeof value !== "string") errors[field] = ["is invalid"];
    else if (value.trim() === "") errors[field] = ["can't be blank"];
  }
  const { payload, id } = item;
  if (flagOf(item.private) === undefined) errors.private = ["is invalid"];
  if (typeof (id ?? "") !== "string") errors.id = ["is invalid"];
  if (payload === undefined || payload === null) errors.payload = ["can't be blank"];
  else if (!isRecord(payload)) errors.payload = ["is invalid"];
  else if (exceedsPayload(limits, toBytes(JSON.stringify(payload)).length)) {
    errors.payload = ["Payload size exceeds tenant limit"];
  }
  return errors;
}

function toMessage(item: Record<string, unknown>): BatchMessage {
  return {
    topic: String(item.topic),
    event: String(item.event),
    payload: item.payload as Record<string, unknown>,
    isPrivate: flagOf(item.private) === true,
    id: typeof item.id === "string" ? item.id : undefined,
  };
}

function flagOf(value: unknown): boolean | undefined {
  if (value === true || value === "true" || value === "1") return true;
  return value === undefined || value === null || [false, "false", "0", ""].includes(value as string)
    ? false
    : undefined;
}
