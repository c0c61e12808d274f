import { mask } from "../mask.ts";

export type LogLevel = "debug" | "info" | "warn" | "error";

export type LogFields = Readonly<Record<string, unknown>>;

/** Writes events, one JSON object a line. Ids are fields, payloads never; keys and tokens are masked. */
export interface Log {
  (level: LogLevel, event: string, fields?: LogFields): void;
  /** The same log with fields that every line of it carries. */
  with(fields: LogFields): Log;
}

export interface LogOptions {
  readonly write?: (line: string) => void;
  readonly now?: () => number;
}

export function createLog(fields: LogFields = {}, options: LogOptions = {}): Log {
  const { write = (line) => console.log(line), now = Date.now } = options;
  const log = (level: LogLevel, event: string, more: LogFields = {}): void =>
    write(JSON.stringify(mask({ time: new Date(now()).toISOString(), level, event, ...fields, ...more })));
  return Object.assign(log, { with: (more: LogFields) => createLog({ ...fields, ...more }, options) });
}
