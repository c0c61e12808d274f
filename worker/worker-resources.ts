import { limits } from "../shared/contracts/limits.ts";
import { InvalidRequestError } from "../shared/errors.ts";
import { measureJson } from "./json-value.ts";
import type { Log } from "./log.ts";

/** How a named resource is held. */
export interface HoldOptions {
  /** Without a touch for so long it counts as gone. Default 300, at least 10. It is touched in time by itself. */
  readonly leaseSeconds?: number;
  readonly sizeBytes?: number;
  /** For people; at most 4 KiB of JSON text. */
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** A resource as the control plane is told of it. */
export interface HeldResource {
  readonly name: string;
  readonly leaseSeconds: number;
  readonly sizeBytes: number | null;
  readonly metadata: Readonly<Record<string, unknown>>;
}

/** What a handler does with named resources of its worker: files, sessions, models that are there once loaded. */
export interface Resources {
  /** Tells that the worker has it now: jobs with this `resourceRef` come here. It stays held when the handler ends. */
  hold(name: string, options?: HoldOptions): Promise<void>;
  /** Renews the lease now. Not needed while the worker lives. */
  touch(name: string): Promise<void>;
  /** Tells that it is gone. `evicted`: not by intent, but for want of room. Jobs that waited for it here go elsewhere. */
  release(name: string, options?: { readonly evicted?: boolean }): Promise<void>;
}

export interface WorkerResourcesOptions {
  readonly hold: (resources: readonly HeldResource[]) => Promise<void>;
  readonly release: (names: readonly string[], reason: "released" | "evicted") => Promise<void>;
  readonly log: Log;
}

const defaultLeaseSeconds = 300;
/** A touch that failed is tried again so soon, so that a short outage costs no lease. */
const retryMs = 3_000;

interface Held {
  readonly resource: HeldResource;
  touchedAt: number;
}

/** The named resources that a worker holds, each told of again when a third of its lease is over, many in one call. */
export class WorkerResources implements Resources {
  readonly #options: WorkerResourcesOptions;
  readonly #held = new Map<string, Held>();
  #calls: Promise<void> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #fails = false;
  #closed = false;

  constructor(options: WorkerResourcesOptions) {
    this.#options = options;
  }

  /** Names of what is held. */
  names(): string[] {
    return [...this.#held.keys()];
  }

  async hold(name: string, options: HoldOptions = {}): Promise<void> {
    const resource = checked(name, options);
    if (!this.#held.has(name) && this.#held.size >= limits.resourcesHeld) {
      throw new InvalidRequestError(
        `Cannot hold "${name}": a worker holds at most ${limits.resourcesHeld} resources`,
      );
    }
    await this.#inOrder(async () => {
      await this.#options.hold([resource]);
      this.#held.set(name, { resource, touchedAt: performance.now() });
    });
    this.#plan();
  }

  async touch(name: string): Promise<void> {
    await this.#inOrder(async () => {
      const held = this.#held.get(name);
      if (held === undefined) throw new InvalidRequestError(`Cannot touch "${name}": this worker does not hold it`);
      await this.#options.hold([held.resource]);
      held.touchedAt = performance.now();
    });
  }

  async release(name: string, { evicted = false }: { readonly evicted?: boolean } = {}): Promise<void> {
    await this.#inOrder(async () => {
      this.#held.delete(name);
      await this.#options.release([name], evicted ? "evicted" : "released");
    });
  }

  /** Touches nothing any more. What is held ends with the worker's goodbye, or with its leases. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  /** One call after the other: a touch under way must not bring back what is released meanwhile. */
  #inOrder(call: () => Promise<void>): Promise<void> {
    const called = this.#calls.then(call);
    this.#calls = called.catch(() => {});
    return called;
  }

  #plan(waitAtLeastMs = 0): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#held.size === 0) return;
    const dueAt = Math.min(...Array.from(this.#held.values(), dueTime));
    const waitMs = Math.max(waitAtLeastMs, dueAt - performance.now());
    // A timer holds 31 bits of milliseconds.
    this.#timer = setTimeout(() => void this.#touchDue(), Math.min(waitMs, 2 ** 31 - 1));
  }

  async #touchDue(): Promise<void> {
    try {
      await this.#inOrder(async () => {
        // Those that are due soon go along.
        const now = performance.now();
        const due = Array.from(this.#held.values())
          .filter((held) => dueTime(held) - now <= held.resource.leaseSeconds * 1000 / 6)
          .slice(0, limits.resourcesPerCall);
        if (due.length === 0) return;
        await this.#options.hold(due.map(({ resource }) => resource));
        for (const held of due) held.touchedAt = now;
      });
      this.#fails = false;
      this.#plan();
    } catch (error) {
      if (!this.#fails) {
        const why = error instanceof Error ? error.message : String(error);
        const message = `cannot renew the leases of resources (${why}); trying again`;
        this.#options.log({ level: "warn", event: "resources.untouched", message });
      }
      this.#fails = true;
      this.#plan(retryMs);
    }
  }
}

function dueTime({ resource, touchedAt }: Held): number {
  return touchedAt + resource.leaseSeconds * 1000 / 3;
}

function checked(name: string, options: HoldOptions): HeldResource {
  const { leaseSeconds = defaultLeaseSeconds, sizeBytes, metadata = {} } = options;
  if (typeof name !== "string" || name === "" || name.length > limits.keyLength || name.includes("\0")) {
    throw new InvalidRequestError(`Cannot hold a resource: its name must have 1 to ${limits.keyLength} characters`);
  }
  if (!(leaseSeconds >= limits.resourceLeaseLeastSeconds && leaseSeconds <= limits.timeoutSeconds)) {
    throw new InvalidRequestError(
      `Cannot hold "${name}" for ${leaseSeconds} s: it must be ${limits.resourceLeaseLeastSeconds} to ${limits.timeoutSeconds}`,
    );
  }
  const measured = measureJson(metadata);
  if ("problem" in measured || measured.bytes > limits.resourceMetadataBytes) {
    throw new InvalidRequestError(
      `Cannot hold "${name}": its metadata must be an object of at most ${limits.resourceMetadataBytes} bytes as JSON`,
    );
  }
  return { name, leaseSeconds, sizeBytes: sizeBytes ?? null, metadata };
}
