import { mask, maskText } from "../shared/mask.ts";
import { printableLine } from "../shared/printable.ts";
import type { WorkerEvent } from "./log.ts";

/** A line of text for people. */
export function textLine({ level, message }: WorkerEvent, at: Date): string {
  const time = at.toISOString().slice(11, 23);
  const mark = level === "error" ? "ERROR " : level === "warn" ? "warn  " : "";
  return `${time} ${mark}${printableLine(maskText(message))}`;
}

/** A line of JSON for machines. */
export function jsonLine({ level, event, message, fields }: WorkerEvent, at: Date): string {
  return JSON.stringify(mask({ time: at.toISOString(), level, event, message, ...fields }));
}
