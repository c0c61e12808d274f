/** A SHA-256 that takes its bytes piece by piece. */
export interface Sha256 {
  update(bytes: Uint8Array): void;
  /** Lower-case hex. Call it once. */
  digest(): Promise<string>;
}

/** Ends a hold. */
export type Release = () => Promise<void>;

/** All that the SDK needs and Web APIs do not give. */
export interface Runtime {
  /** What a worker is called when nobody names it. */
  hostName(): string;
  /** The text of a file, or null when there is none. */
  readText(path: string): Promise<string | null>;
  /** Replaces the file as a whole, readable by its owner alone (mode 0600), and safe from a power cut. */
  writePrivateText(path: string, text: string): Promise<void>;
  /** Whether nobody but its owner can read a file that is there, as far as this machine tells. */
  isPrivate(path: string): Promise<boolean>;
  /** The paths of the files in a folder; none when there is no such folder. */
  list(folder: string): Promise<string[]>;
  /** Removes a file, if it is there. */
  remove(path: string): Promise<void>;
  /** Holds a file until it is released or this process ends; null when it is held already. */
  hold(path: string): Promise<Release | null>;
  sha256(): Sha256;
  /** Resident memory in MB, or null where that cannot be known. */
  memoryMb(): number | null;
}
