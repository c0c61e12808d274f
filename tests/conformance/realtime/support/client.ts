import {
  createClient,
  type RealtimeChannel,
  type RealtimeClientOptions,
  type SupabaseClient,
} from "@supabase/supabase-js";
import { stack } from "./stack.ts";

/** The official client, which leaves all it joined when disposed. */
export function connectClient(
  options: { url?: string; key?: string; realtime?: RealtimeClientOptions } = {},
): { client: SupabaseClient } & AsyncDisposable {
  const { url = stack.url, key = stack.publishableKey, realtime = {} } = options;
  const auth = { persistSession: false, autoRefreshToken: false };
  const client = createClient(url, key, { auth, realtime });
  return {
    client,
    async [Symbol.asyncDispose]() {
      await client.removeAllChannels();
      await client.realtime.disconnect();
    },
  };
}

/** Subscribes; answers the first status, and the reason where there is one. */
export function subscribe(channel: RealtimeChannel): Promise<{ status: string; error: Error | undefined }> {
  return new Promise((resolve) => channel.subscribe((status, error) => resolve({ status, error })));
}

/** Collects what a channel is told, so that a test can wait for it in order. */
export class Inbox<T> {
  readonly #items: T[] = [];
  #waiting: ((item: T) => void)[] = [];

  readonly put = (item: T): void => {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(item);
    else this.#items.push(item);
  };

  next(): Promise<T> {
    const item = this.#items.shift();
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
