/**
 * Loaded before the worker script: the clock of its machine, which is off by as many milliseconds as a file says. The
 * file is read at the start and at SIGUSR2, so that the clock can be set while the worker runs.
 */
import { readFileSync } from "node:fs";
import process from "node:process";

const path = process.env["MUSTER_CAMPAIGN_CLOCK"] ?? "";
const RealDate = Date;
let offByMs = read();

function read(): number {
  try {
    return Number(readFileSync(path, "utf8"));
  } catch {
    return 0;
  }
}

process.on("SIGUSR2", () => offByMs = read());

globalThis.Date = class extends RealDate {
  constructor(...given: [] | [number]) {
    super(...given.length === 0 ? [RealDate.now() + offByMs] as const : given);
  }

  static override now(): number {
    return RealDate.now() + offByMs;
  }
} as DateConstructor;
