import { exportJWK, importJWK } from "jose";
import { z } from "zod";
import { deviceFingerprint, makeDeviceProof, type ProofPurpose } from "../shared/auth/device-proof.ts";
import type { PublicJwk } from "../shared/contracts/enroll.ts";
import { type DeviceKey, type KeyVault, makeDeviceKey } from "./device-key.ts";

const KeptKey = z.looseObject({
  kty: z.literal("EC"),
  crv: z.literal("P-256"),
  x: z.string(),
  y: z.string(),
  /** The private half; absent where a vault has it. */
  d: z.string().optional(),
});
type KeptKey = z.output<typeof KeptKey>;

/** What a worker keeps between its runs. The private key never leaves the machine. */
const IdentityFile = z.object({
  url: z.string(),
  workerId: z.string().nullable(),
  tenantId: z.string().nullable(),
  name: z.string().nullable(),
  publishableKey: z.string().nullable(),
  key: KeptKey,
  /** The key that is to follow: the project may know it already. */
  nextKey: KeptKey.nullable().default(null),
});
export type IdentityFile = z.output<typeof IdentityFile>;

/** Where an identity is kept: a file, a browser's storage, a test's variable. */
export interface IdentityStore {
  /** Said in messages, such as the path. */
  readonly place: string;
  /** Keeps the private keys, where they are not to be in the text. */
  readonly vault?: KeyVault;
  load(): Promise<string | null>;
  /** Replaces the text as a whole or not at all. */
  save(text: string): Promise<void>;
  /** Lets another process, or another worker, use the identity. */
  release?(): Promise<void>;
}

/** A store that forgets, for workers that live only once. */
export function memoryIdentityStore(): IdentityStore {
  let kept: string | null = null;
  return {
    place: "memory",
    load: () => Promise.resolve(kept),
    save(text) {
      kept = text;
      return Promise.resolve();
    },
  };
}

/** A worker's ES256 key and what it became when it enrolled. */
export class Identity {
  readonly #store: IdentityStore;
  #key: DeviceKey;
  #next: DeviceKey | null;
  #file: IdentityFile;

  private constructor(store: IdentityStore, file: IdentityFile, key: DeviceKey, next: DeviceKey | null) {
    this.#store = store;
    this.#file = file;
    this.#key = key;
    this.#next = next;
  }

  /**
   * Loads the identity, or makes a key and keeps it before anything is sent: a worker that dies while it enrolls
   * comes back with the same key, which costs the enrollment token no second use.
   */
  static async open(store: IdentityStore, url: string): Promise<Identity> {
    const known = await Identity.load(store, url);
    if (known !== null) return known;
    const { key, kept } = await newKey(store);
    const unknown = { workerId: null, tenantId: null, name: null, publishableKey: null };
    const identity = new Identity(store, { url, ...unknown, key: kept, nextKey: null }, key, null);
    await identity.#save();
    return identity;
  }

  /** Loads the identity; null where there is none. */
  static async load(store: IdentityStore, url: string): Promise<Identity | null> {
    const text = await store.load();
    if (text === null) return null;
    const file = parseFile(text, store.place);
    if (file.url !== url) {
      throw new IdentityError(
        `Cannot use the identity in ${store.place}: it belongs to ${file.url}, not to ${url}`,
        "Give this project a file of its own with --identity",
      );
    }
    const key = await openKey(store, file.key);
    if (key === null) {
      throw new IdentityError(
        `Cannot use the identity in ${store.place}: its private key is missing`,
        "Move it away and enroll again with --token; an operator can revoke the worker that had the key",
      );
    }
    return new Identity(store, file, key, file.nextKey === null ? null : await openKey(store, file.nextKey));
  }

  /** Null until the worker has enrolled. */
  get workerId(): string | null {
    return this.#file.workerId;
  }

  get tenantId(): string | null {
    return this.#file.tenantId;
  }

  get name(): string | null {
    return this.#file.name;
  }

  /** The project's publishable key as told when it enrolled. */
  get publishableKey(): string | null {
    return this.#file.publishableKey;
  }

  get publicJwk(): PublicJwk {
    return this.#key.publicJwk;
  }

  /** Whether a change of the key was begun of which it is not known how it ended. */
  get isRotating(): boolean {
    return this.#next !== null;
  }

  /** Keeps what the answer to an enrollment or a refresh says. */
  async remember(
    enrolled: { workerId: string; tenantId: string; name: string; publishableKey: string },
  ): Promise<void> {
    const { workerId, tenantId, name, publishableKey } = enrolled;
    await this.#change({ workerId, tenantId, name, publishableKey });
  }

  /** Proof that this machine holds the key, made at the given time; good for one request. */
  prove(purpose: ProofPurpose, now: () => number): Promise<string> {
    return makeDeviceProof(this.#key, purpose, { now });
  }

  /**
   * Makes the key that is to follow, and keeps it beside the present one before anything is sent: whenever this process
   * ends, the next one has both, and one of them is the worker's.
   */
  async beginRotation(): Promise<void> {
    if (this.#next !== null) return;
    const { key, kept } = await newKey(this.#store);
    await this.#change({ nextKey: kept });
    this.#next = key;
  }

  /** The two proofs that change the key of the worker, and the new key. */
  async proveRotation(
    workerId: string,
    now: () => number,
  ): Promise<{ publicJwk: PublicJwk; proof: string; newProof: string }> {
    const { publicJwk } = this.#nextKey;
    const newFingerprint = await deviceFingerprint(publicJwk);
    const proof = await this.prove({ kind: "rotate", workerId, newFingerprint }, now);
    const newProof = await this.proveAsNext({ kind: "succeed", workerId, oldProof: proof }, now);
    return { publicJwk, proof, newProof };
  }

  /** Proof by the key that is to follow. */
  proveAsNext(purpose: ProofPurpose, now: () => number): Promise<string> {
    return makeDeviceProof(this.#nextKey, purpose, { now });
  }

  /** The project goes by the key that was to follow. */
  async finishRotation(): Promise<void> {
    const [old, next] = [this.#key, this.#nextKey];
    await this.#change({ key: this.#file.nextKey ?? this.#file.key, nextKey: null });
    [this.#key, this.#next] = [next, null];
    await this.#store.vault?.remove(old.publicJwk);
  }

  /** The project will never take the key that was to follow. */
  async dropRotation(): Promise<void> {
    const next = this.#nextKey;
    await this.#change({ nextKey: null });
    this.#next = null;
    await this.#store.vault?.remove(next.publicJwk);
  }

  /** The worker has ended: another may be it now. */
  async release(): Promise<void> {
    await this.#store.release?.();
  }

  get #nextKey(): DeviceKey {
    if (this.#next === null) throw new Error("No change of the key was begun");
    return this.#next;
  }

  async #change(fields: Partial<IdentityFile>): Promise<void> {
    const before = this.#file;
    this.#file = { ...before, ...fields };
    if (JSON.stringify(before) !== JSON.stringify(this.#file)) await this.#save();
  }

  async #save(): Promise<void> {
    await this.#store.save(`${JSON.stringify(this.#file, null, 2)}\n`);
  }
}

/** The kept identity cannot be used as it is. */
export class IdentityError extends Error {
  override readonly name = "IdentityError";
  readonly advice: string;

  constructor(message: string, advice: string) {
    super(message);
    this.advice = advice;
  }
}

async function newKey({ vault }: IdentityStore): Promise<{ key: DeviceKey; kept: KeptKey }> {
  if (vault !== undefined) {
    const key = await vault.create();
    return { key, kept: KeptKey.parse(key.publicJwk) };
  }
  const key = await makeDeviceKey({ extractable: true });
  return { key, kept: KeptKey.parse(await exportJWK(key.privateKey)) };
}

async function openKey({ vault }: IdentityStore, kept: KeptKey): Promise<DeviceKey | null> {
  const { kty, crv, x, y, d } = kept;
  const publicJwk = { kty, crv, x, y };
  if (d === undefined) {
    const privateKey = await vault?.find(publicJwk) ?? null;
    return privateKey === null ? null : { privateKey, publicJwk };
  }
  return { privateKey: await importJWK({ ...publicJwk, d }, "ES256") as CryptoKey, publicJwk };
}

function parseFile(text: string, place: string): IdentityFile {
  try {
    return IdentityFile.parse(JSON.parse(text));
  } catch {
    throw new IdentityError(
      `Cannot read the identity in ${place}: it is not a worker's identity`,
      "Move the file away and enroll again with --token",
    );
  }
}
