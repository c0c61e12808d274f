import { Capability } from "../shared/contracts/common.ts";
import { limits } from "../shared/contracts/limits.ts";
import { UsageError } from "../shared/usage-error.ts";

/** The option that most commands have. */
export const tenantOption = { type: "string", default: "default" } as const;

export function readName(option: string, value: string): string {
  if (value.length >= 1 && value.length <= limits.nameLength) return value;
  throw new UsageError(`Cannot use the ${option} "${value}": it must have 1 to ${limits.nameLength} characters`);
}

export function readChoice<Choice extends string>(option: string, value: string, choices: readonly Choice[]): Choice {
  const choice = choices.find((each) => each === value);
  if (choice !== undefined) return choice;
  throw new UsageError(`Cannot use the ${option} "${value}": it must be one of ${choices.join(", ")}`);
}

export function readId(what: string, value: string): string {
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) return value;
  throw new UsageError(`Cannot use the ${what} "${value}": it must be an id, as the list shows it`);
}

export function readEmail(value: string): string {
  if (/^[^\s@]+@[^\s@]+$/.test(value) && value.length <= limits.emailLength) return value;
  throw new UsageError(`Cannot use "${value}": it must be an e-mail address`);
}

export function readCapability(value: string): string {
  const result = Capability.safeParse(value);
  if (result.success) return result.data;
  throw new UsageError(`Cannot allow capability "${value}": ${result.error.issues[0]?.message.toLowerCase()}`);
}

export function readMaxUses(value: string): number | null {
  if (value === "unlimited") return null;
  if (/^[1-9]\d{0,8}$/.test(value)) return Number(value);
  throw new UsageError(`Cannot read --max-uses "${value}": it must be a whole number from 1, or unlimited`);
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** `90d` in milliseconds, or null for what is no length of time. */
function spanMs(value: string): number | null {
  const span = /^(\d{1,6})([smhd])$/.exec(value);
  return span === null ? null : Number(span[1]) * unitMs[span[2] as keyof typeof unitMs];
}

/** `90d` from now, or an instant as it is; always in the future. */
export function readExpiry(value: string, now: number): string {
  const ms = spanMs(value);
  const at = ms === null ? Date.parse(value) : now + ms;
  if (Number.isNaN(at)) {
    throw new UsageError(`Cannot read --expires "${value}": it must be like 30m, 12h, 90d or an ISO instant`);
  }
  if (at <= now) throw new UsageError(`Cannot use --expires "${value}": it must be in the future`);
  return new Date(at).toISOString();
}

/** For how long a rotated key stays good, in seconds. */
export function readOverlap(value: string): number {
  const seconds = value === "0" ? 0 : (spanMs(value) ?? NaN) / 1_000;
  if (seconds <= limits.overlapSeconds) return seconds;
  throw new UsageError(`Cannot read --overlap "${value}": it must be like 30m, 12h, 7d, and at most 30d`);
}
