import { type RealtimeChannel, RealtimeClient } from "@supabase/supabase-js";
import { channels } from "../shared/channels.ts";
import type { Presence } from "../shared/contracts/messages.ts";
import { sleep } from "../shared/sleep.ts";
import type { Log } from "./log.ts";
import { retryDelay } from "./retry-delay.ts";
import type { WorkerMode } from "./rpc.ts";

export interface LinkOptions {
  readonly url: string;
  readonly publishableKey: string;
  readonly workerId: string;
  readonly tenantId: string;
  readonly token: string;
  /** In `claim` it listens where all are called, not on a channel of its own. */
  readonly mode: WorkerMode;
  readonly log: Log;
  /** The tasks channel is joined (anew). */
  readonly onOpen: () => void;
  /** The tasks channel is gone; the link keeps trying to join it again. */
  readonly onClosed: () => void;
  /** Something happened that the database knows more about. */
  readonly onNudge: (about: "jobs" | "orders") => void;
  /** A nonce, to be echoed in the next heartbeat. */
  readonly onWake: (nonce: string) => void;
}

/** At most one presence update in so many milliseconds: the service closes a channel after 5 in 30 s. */
const presenceIntervalMs = 10_000;

/**
 * The presence channel is joined again within so long of its loss, at a random instant: the service limits a project's
 * joins, and after an outage what brings work comes first. See "fleet" in bench/README.md.
 */
const presenceRejoinMs = 30_000;

/**
 * The worker's ear: its private tasks channel, or in claim mode that of all such workers, and its presence. A message is only ever a reason to ask the database,
 * so a lost, doubled or late one does no harm.
 */
export class Link {
  readonly #options: LinkOptions;
  readonly #client: RealtimeClient;
  readonly #ended = new AbortController();
  readonly #endedPromise = new Promise<void>((resolve) => {
    this.#ended.signal.addEventListener("abort", () => resolve(), { once: true });
  });
  #presence: RealtimeChannel | undefined;
  #present: Presence | undefined;
  #trackedAt = -Infinity;
  #trackTimer: ReturnType<typeof setTimeout> | undefined;
  #tasks: RealtimeChannel | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#client = new RealtimeClient(`${options.url.replace(/^http/, "ws")}/realtime/v1`, {
      params: { apikey: options.publishableKey },
      reconnectAfterMs: (tries) => retryDelay(tries, { baseMs: 500, capMs: 10_000 }),
      sessionStorage: noStorage,
    });
    void this.#client.setAuth(options.token);
  }

  /** Joins, and stays joined until `close()`. */
  open(): void {
    const { workerId, tenantId, mode } = this.#options;
    void this.#keepJoined(
      mode === "claim" ? channels.workerWakeup(tenantId) : channels.workerTasks(workerId),
      {},
      (channel) => {
        this.#tasks = channel;
        channel.on("broadcast", { event: "*" }, ({ event, payload }) => {
          // Where all are called each event is a call: queues of one's own may name theirs otherwise.
          if (mode === "claim") this.#options.onNudge("jobs");
          else this.#heard(event, payload);
        });
      },
      this.#options.onOpen,
      this.#options.onClosed,
    );
    void this.#keepJoined(
      channels.fleetPresence(tenantId),
      { presence: { key: workerId, enabled: true } },
      (channel) => this.#presence = channel,
      () => this.#track(),
      () => {},
      () => presenceRejoinMs * Math.random(),
    );
  }

  /** The channels live as long as their token: a new one is passed on in time. */
  setToken(token: string): void {
    void this.#client.setAuth(token);
  }

  /** Says how the worker is doing to whoever watches the fleet; the latest word within the interval counts. */
  present(presence: Presence): void {
    this.#present = presence;
    if (this.#trackTimer !== undefined || this.#ended.signal.aborted) return;
    const rest = Math.max(0, this.#trackedAt + presenceIntervalMs - performance.now());
    this.#trackTimer = setTimeout(() => {
      this.#trackTimer = undefined;
      this.#track();
    }, rest);
  }

  /** Leaves the tasks channel; it is joined again after a pause. For a channel that looks open and hears nothing. */
  rejoin(): void {
    void this.#tasks?.unsubscribe();
  }

  async close(): Promise<void> {
    this.#ended.abort();
    clearTimeout(this.#trackTimer);
    await this.#client.disconnect();
  }

  #heard(event: string, envelope: { data?: { nonce?: unknown } } | undefined): void {
    if (event === "task.assign") return this.#options.onNudge("jobs");
    if (event === "task.cancel" || event === "worker.command") return this.#options.onNudge("orders");
    const nonce = envelope?.data?.nonce;
    if (event === "wake" && typeof nonce === "string") this.#options.onWake(nonce);
  }

  #track(): void {
    if (this.#present === undefined || this.#presence?.state !== "joined") return;
    this.#trackedAt = performance.now();
    void this.#presence.track(this.#present);
  }

  /**
   * Joins a private channel again and again. The client rejoins by itself after an error or a lost socket, but a
   * channel that the server closes (an expired token, a limit) stays closed: then a new one is made. With `pauseMs` no
   * loss is left to the client, and the new channel is made after that pause.
   */
  async #keepJoined(
    topic: string,
    config: { presence?: { key: string; enabled: true } },
    prepare: (channel: RealtimeChannel) => void,
    onOpen: () => void,
    onClosed: () => void,
    pauseMs?: () => number,
  ): Promise<void> {
    const { signal } = this.#ended;
    for (let failures = 0; !signal.aborted;) {
      const closed = Promise.withResolvers<void>();
      const channel = this.#client.channel(topic, { config: { private: true, ...config } });
      prepare(channel);
      let open = false;
      channel.subscribe((status, error) => {
        if (signal.aborted) return;
        if (status === "SUBSCRIBED") {
          failures = 0;
          open = true;
          this.#tell("debug", "channel.joined", topic, "joined");
          return onOpen();
        }
        if (open) {
          open = false;
          onClosed();
        }
        this.#tell("debug", "channel.lost", topic, `${status}${error === undefined ? "" : `: ${error.message}`}`);
        if (status === "CLOSED") closed.resolve();
        else if (pauseMs !== undefined) void channel.unsubscribe();
      });
      await Promise.race([closed.promise, this.#endedPromise]);
      channel.teardown();
      failures += 1;
      await sleep(pauseMs?.() ?? retryDelay(failures, { baseMs: 500, capMs: 10_000 }), signal);
    }
  }

  #tell(level: "debug", event: string, topic: string, message: string): void {
    this.#options.log({ level, event, message: `channel ${topic} ${message}`, fields: { topic } });
  }
}

/** The client keeps notes for a fallback that is not used here; some runtimes warn when it touches sessionStorage. */
const noStorage: Storage = {
  length: 0,
  clear: () => {},
  getItem: () => null,
  key: () => null,
  removeItem: () => {},
  setItem: () => {},
};
