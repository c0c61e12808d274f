import { base64url } from "jose";
import type { Environment } from "../../shared/platform.ts";
import type { MasterKeys } from "./vault.ts";

/**
 * Reads the keys that secrets are encrypted with at rest, `{"<id>": "<32 bytes in base64url>", …}`: the first is the
 * current one, the others still decrypt what was encrypted with them. No other function reaches this file.
 */
export function readMasterKeys(environment: Environment): MasterKeys {
  const text = environment["MUSTER_MASTER_KEYS"];
  if (!text) throw new Error(`Cannot start: MUSTER_MASTER_KEYS must be set, ${shape}`);
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    // What the parser says would quote the text.
    throw new Error(`Cannot start: MUSTER_MASTER_KEYS must be JSON, ${shape}`);
  }
  const entries = typeof given === "object" && given !== null ? Object.entries(given) : [];
  const keys = new Map(entries.map(([id, value]) => [checkedId(id), checkedKey(id, value)]));
  const [currentId] = keys.keys();
  if (currentId === undefined) throw new Error(`Cannot start: MUSTER_MASTER_KEYS must name a key, ${shape}`);
  return { currentId, keys };
}

const shape = 'like {"k1": "<32 bytes in base64url>"}';

/** An id that begins with a digit would not keep its place: JSON.parse moves such names to the front. */
function checkedId(id: string): string {
  if (/^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(id)) return id;
  throw new Error(
    "Cannot start: an id in MUSTER_MASTER_KEYS must be 1 to 64 letters, digits and _ . -, a letter first",
  );
}

function checkedKey(id: string, value: unknown): Uint8Array {
  if (typeof value === "string" && /^[A-Za-z0-9_-]{43}=?$/.test(value)) return base64url.decode(value);
  throw new Error(`Cannot start: key "${id}" in MUSTER_MASTER_KEYS must be 32 bytes in base64url`);
}
