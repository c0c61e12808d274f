import type { RealtimeLimits } from "../limits.ts";
import type { ReplicationLink } from "./replication-link.ts";

export interface DatabaseLinkOptions {
  limits: Pick<RealtimeLimits, "linkOnDemand" | "linkIdleMs">;
  makeLink: () => ReplicationLink;
  /** Whether there is anybody to follow the database for. */
  isNeeded: () => boolean;
}

/** When the database is followed: from the start, or on demand, as the service does. */
export class DatabaseLink {
  readonly #options: DatabaseLinkOptions;
  #link: ReplicationLink;
  #state: "off" | "on" | "stopped" = "off";
  #idleChecks = 0;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(options: DatabaseLinkOptions) {
    this.#options = options;
    this.#link = options.makeLink();
  }

  get isUp(): boolean {
    return this.#link.connected;
  }

  /** Resolves once the link is up, at once if it is. */
  whenUp(): Promise<void> {
    return this.#link.whenConnected();
  }

  /** Resolves when the link stands, or at once where it waits for demand. */
  async start(): Promise<void> {
    const { linkOnDemand, linkIdleMs } = this.#options.limits;
    // Between one and one and a half of the time, then.
    if (linkOnDemand) this.#timer = setInterval(() => this.#dropIdle(), linkIdleMs / 2);
    else {
      this.#state = "on";
      await this.#link.start();
    }
  }

  /** Somebody has joined. */
  need(): void {
    if (this.#state !== "off") return;
    this.#state = "on";
    this.#idleChecks = 0;
    this.#link.startSoon();
  }

  async stop(): Promise<void> {
    this.#state = "stopped";
    clearInterval(this.#timer);
    await this.#link.stop();
  }

  #dropIdle(): void {
    if (this.#state !== "on") return;
    this.#idleChecks = this.#options.isNeeded() ? 0 : this.#idleChecks + 1;
    if (this.#idleChecks < 3) return;
    const idle = this.#link;
    this.#link = this.#options.makeLink();
    this.#state = "off";
    void idle.stop();
  }
}
