import { deviceFingerprint } from "../shared/auth/device-proof.ts";
import { UnauthenticatedError } from "../shared/errors.ts";
import { Identity, type IdentityStore } from "./identity.ts";
import type { Log } from "./log.ts";
import { Session } from "./session.ts";

export interface RotateKeyOptions {
  /** The project, such as `https://xyz.supabase.co`. */
  readonly url: string;
  readonly identity: IdentityStore;
  /** Default what the enrollment told. */
  readonly publishableKey?: string | undefined;
  readonly log?: Log;
  readonly fetch?: typeof fetch;
}

/**
 * Gives a worker that does not run a new key; one that runs has `Worker.rotateKey()`. Cut off at any moment, it leaves
 * an identity that the next start can use.
 */
export async function rotateKey(options: RotateKeyOptions): Promise<{ workerId: string; fingerprint: string }> {
  const { url, identity: store, publishableKey, log = () => {}, fetch: request = (...args) => fetch(...args) } =
    options;
  try {
    const identity = await Identity.load(store, url);
    const workerId = identity?.workerId ?? null;
    if (identity === null || workerId === null) {
      throw new UnauthenticatedError(`Cannot change the key in ${store.place}: no worker has enrolled with it`, {
        advice: "Enroll first, with --token",
      });
    }
    const key = publishableKey ?? identity.publishableKey;
    const headers = (): Record<string, string> => key === null ? {} : { apikey: key };
    const session = new Session({ url, identity, fetch: request, log, headers, onToken: () => {} });
    try {
      await session.rotateKey();
    } finally {
      session.close();
    }
    return { workerId, fingerprint: await deviceFingerprint(identity.publicJwk) };
  } finally {
    await store.release?.();
  }
}
