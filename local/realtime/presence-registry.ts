import { isDeepStrictEqual } from "node:util";
import type { Channel } from "./channel.ts";

export type PresenceMeta = Record<string, unknown> & { phx_ref: string };
export type PresenceState = Record<string, { metas: PresenceMeta[] }>;

export interface PresenceDiff {
  joins: PresenceState;
  leaves: PresenceState;
}

interface Entry {
  presenceKey: string;
  payload: Record<string, unknown>;
  meta: PresenceMeta;
}

/** Who is present in which channel; kept in memory only. Each change answers the diff that its members are told. */
export class PresenceRegistry {
  readonly #entries = new Map<string, Map<Channel, Entry>>();

  /** Whether the channel tracks just this already. */
  isTracked(channel: Channel, payload: Record<string, unknown>): boolean {
    const entry = this.#entries.get(channel.key)?.get(channel);
    return entry !== undefined && isDeepStrictEqual(entry.payload, payload);
  }

  track(channel: Channel, payload: Record<string, unknown>): PresenceDiff {
    const entries = this.#entries.get(channel.key) ?? new Map<Channel, Entry>();
    this.#entries.set(channel.key, entries);

    const before = entries.get(channel);
    const meta: PresenceMeta = { ...payload, phx_ref: newRef() };
    if (before) meta.phx_ref_prev = before.meta.phx_ref;
    const entry = { presenceKey: channel.presenceKey, payload, meta };
    entries.set(channel, entry);
    return { joins: stateOf([entry]), leaves: stateOf(before ? [before] : []) };
  }

  untrack(channel: Channel): PresenceDiff | undefined {
    const entries = this.#entries.get(channel.key);
    const before = entries?.get(channel);
    if (!entries || !before) return undefined;
    entries.delete(channel);
    if (entries.size === 0) this.#entries.delete(channel.key);
    return { joins: {}, leaves: stateOf([before]) };
  }

  state(key: string): PresenceState {
    return stateOf([...this.#entries.get(key)?.values() ?? []]);
  }
}

function stateOf(entries: Entry[]): PresenceState {
  const state = new Map<string, { metas: PresenceMeta[] }>();
  for (const { presenceKey, meta } of entries) {
    const present = state.get(presenceKey) ?? { metas: [] };
    present.metas.push(meta);
    state.set(presenceKey, present);
  }
  return Object.fromEntries(state);
}

function newRef(): string {
  return crypto.getRandomValues(new Uint8Array(12)).toBase64({ alphabet: "base64url" });
}
