import { base64url } from "jose";
import { sha256Hex } from "./hash.ts";

const prefixes = { apiKey: "msk_", enrollmentToken: "mse_" } as const;

export interface Secret {
  /** Shown once and kept by its owner alone. */
  readonly value: string;
  /** What may be shown later, to tell secrets apart. */
  readonly prefix: string;
  /** What the database keeps. */
  readonly hash: string;
}

/** Makes a new API key or enrollment token: 32 random bytes behind a prefix that says what it is. */
export async function makeSecret(kind: keyof typeof prefixes): Promise<Secret> {
  const value = prefixes[kind] + base64url.encode(crypto.getRandomValues(new Uint8Array(32)));
  return { value, prefix: value.slice(0, 10), hash: await sha256Hex(value) };
}

export function isApiKey(value: string): boolean {
  return /^msk_[A-Za-z0-9_-]{43}$/.test(value);
}

/** Compares two secrets without telling by the time taken where they differ. */
export function sameSecret(left: string, right: string): boolean {
  const a = new TextEncoder().encode(left);
  const b = new TextEncoder().encode(right);
  let difference = a.length ^ b.length;
  for (let index = 0; index < a.length; index++) difference |= a[index]! ^ (b[index % b.length] ?? 0);
  return difference === 0;
}
