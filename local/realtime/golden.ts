import { toBytes } from "./frames.ts";

/** For tests: bytes from hexadecimal pairs and quoted text, the way protocol descriptions write them. */
export function golden(text: string): Uint8Array<ArrayBuffer> {
  const parts = text.match(/'[^']*'|[0-9a-f]{2}/g) ?? [];
  return new Uint8Array(
    parts.flatMap((part) => part[0] === "'" ? [...toBytes(part.slice(1, -1))] : parseInt(part, 16)),
  );
}
