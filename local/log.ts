import { maskText } from "../shared/mask.ts";

/** Takes one line that a part of the stack has to say. */
export type Log = (part: string, line: string) => unknown;

/** Drops everything: tests that want silence. */
export const silent: Log = () => {};

/** Writes to stderr, each line named for its part. */
export const toStderr: Log = (part, line) => console.error(`[${part}] ${maskText(line)}`);
