import { exportJWK, generateKeyPair, importJWK, type JWK } from "jose";
import { z } from "zod";
import { makeDeviceProof, type ProofPurpose } from "../shared/auth/device-proof.ts";
import { PublicJwk } from "../shared/contracts/enroll.ts";

/** What a worker keeps between its runs. The private key never leaves the machine. */
const IdentityFile = z.object({
  url: z.string(),
  workerId: z.string().nullable(),
  tenantId: z.string().nullable(),
  name: z.string().nullable(),
  publishableKey: z.string().nullable(),
  privateJwk: z.looseObject({
    kty: z.literal("EC"),
    crv: z.literal("P-256"),
    x: z.string(),
    y: z.string(),
    d: z.string(),
  }),
});
export type IdentityFile = z.output<typeof IdentityFile>;

/** Where an identity is kept: a file, a browser's storage, a test's variable. */
export interface IdentityStore {
  /** Said in messages, such as the path. */
  readonly place: string;
  load(): Promise<string | null>;
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
  readonly #privateKey: CryptoKey;
  #file: IdentityFile;

  private constructor(store: IdentityStore, file: IdentityFile, privateKey: CryptoKey) {
    this.#store = store;
    this.#file = file;
    this.#privateKey = privateKey;
  }

  /**
   * Loads the identity, or makes a key and keeps it before anything is sent: a worker that dies while it enrolls
   * comes back with the same key, which costs the enrollment token no second use.
   */
  static async open(store: IdentityStore, url: string): Promise<Identity> {
    const text = await store.load();
    if (text === null) {
      const pair = await generateKeyPair("ES256", { extractable: true });
      const jwk = IdentityFile.shape.privateJwk.parse(await exportJWK(pair.privateKey));
      const identity = new Identity(
        store,
        { url, workerId: null, tenantId: null, name: null, publishableKey: null, privateJwk: jwk },
        pair.privateKey,
      );
      await identity.#save();
      return identity;
    }
    const file = parseFile(text, store.place);
    if (file.url !== url) {
      throw new IdentityError(
        `Cannot use the identity in ${store.place}: it belongs to ${file.url}, not to ${url}`,
        "Give this project a file of its own with --identity",
      );
    }
    const key = await importJWK(file.privateJwk as JWK, "ES256");
    return new Identity(store, file, key as CryptoKey);
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
    const { kty, crv, x, y } = this.#file.privateJwk;
    return { kty, crv, x, y };
  }

  /** Keeps what the answer to an enrollment or a refresh says. */
  async remember(
    enrolled: { workerId: string; tenantId: string; name: string; publishableKey: string },
  ): Promise<void> {
    const { workerId, tenantId, name, publishableKey } = enrolled;
    const next = { ...this.#file, workerId, tenantId, name, publishableKey };
    if (JSON.stringify(next) === JSON.stringify(this.#file)) return;
    this.#file = next;
    await this.#save();
  }

  /** Proof that this machine holds the key, made at the given time; good for one request. */
  prove(purpose: ProofPurpose, now: () => number): Promise<string> {
    return makeDeviceProof({ privateKey: this.#privateKey, publicJwk: this.publicJwk }, purpose, { now });
  }

  /** The worker has ended: another may be it now. */
  async release(): Promise<void> {
    await this.#store.release?.();
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
