import { deviceFingerprint } from "../../shared/auth/device-proof.ts";
import { makeDeviceKey } from "../device-key.ts";
import { IdentityError, type IdentityStore } from "../identity.ts";
import { browser } from "./browser.ts";
import type { Release } from "./runtime.ts";

/** The part of IndexedDB used here: `deno check` does not know it. */
interface Request<T> {
  readonly result: T;
  readonly error: Error | null;
  onsuccess: (() => void) | null;
  onerror: (() => void) | null;
}
interface Store {
  get(key: string): Request<unknown>;
  put(value: unknown, key: string): Request<unknown>;
  delete(key: string): Request<unknown>;
}
interface Database {
  createObjectStore(name: string): unknown;
  transaction(name: string, mode: "readonly" | "readwrite", options?: { durability: "strict" }): {
    objectStore(name: string): Store;
    oncomplete: (() => void) | null;
    onabort: (() => void) | null;
    readonly error: Error | null;
  };
  close(): void;
}
interface Factory {
  open(name: string, version: number): Request<Database> & { onupgradeneeded: (() => void) | null };
}

/**
 * Keeps the identity of a browser's worker in IndexedDB, its keys as `CryptoKey` objects that are not extractable: a
 * script of the page can use them while it runs, and nobody can carry them away.
 */
export function browserIdentityStore(name = "worker"): IdentityStore {
  let release: Release | null = null;
  const place = `IndexedDB muster/${name}`;
  return {
    place,
    vault: {
      async create() {
        const key = await makeDeviceKey({ extractable: false });
        const id = await deviceFingerprint(key.publicJwk);
        await change("keys", (store) => store.put(key.privateKey, id));
        return key;
      },
      async find(publicJwk) {
        const id = await deviceFingerprint(publicJwk);
        return (await read("keys", id) as CryptoKey | undefined) ?? null;
      },
      async remove(publicJwk) {
        const id = await deviceFingerprint(publicJwk);
        await change("keys", (store) => store.delete(id));
      },
    },
    async load() {
      release ??= await browser.hold(`muster-identity:${name}`);
      if (release === null) {
        throw new IdentityError(
          `Cannot use the identity in ${place}: a worker in another tab is using it`,
          "Close that one, or give this worker another name",
        );
      }
      return (await read("identities", name) as string | undefined) ?? null;
    },
    save: (text) => change("identities", (store) => store.put(text, name)),
    async release() {
      await release?.();
      release = null;
    },
  };
}

async function read(storeName: string, key: string): Promise<unknown> {
  const database = await openDatabase();
  try {
    return await answered(database.transaction(storeName, "readonly").objectStore(storeName).get(key));
  } finally {
    database.close();
  }
}

/** Resolves once the change is on disk, not only promised. */
async function change(storeName: string, act: (store: Store) => unknown): Promise<void> {
  const database = await openDatabase();
  try {
    const transaction = database.transaction(storeName, "readwrite", { durability: "strict" });
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error ?? new Error("IndexedDB gave the change up"));
      act(transaction.objectStore(storeName));
    });
  } finally {
    database.close();
  }
}

async function openDatabase(): Promise<Database> {
  const { indexedDB } = globalThis as unknown as { indexedDB: Factory };
  const request = indexedDB.open("muster", 1);
  request.onupgradeneeded = () => {
    for (const store of ["identities", "keys"]) request.result.createObjectStore(store);
  };
  return await answered(request);
}

function answered<T>(request: Request<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB refused"));
  });
}
