/** A SHA-256 that takes its bytes piece by piece. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** Lower-case hex. Call it once. */
  digest(): Promise<string>;
}

/** All that the SDK needs and Web APIs do not give. */
export interface Runtime {
  readonly kind: "deno" | "node" | "bun" | "browser";
  /** What a worker is called when nobody names it. */
  hostName(): string;
  /** The text of a file, or null when there is none. */
  readText(path: string): Promise<string | null>;
  /** Replaces the file as a whole, readable by its owner alone (mode 0600). */
  writePrivateText(path: string, text: string): Promise<void>;
  /** Holds a file for as long as this process lives; false when another process holds it. */
  hold(path: string): Promise<boolean>;
  sha256(): Sha256;
  /** Resident memory in MB, or null where that cannot be known. */
  memoryMb(): number | null;
}
