/**
 * Whether the worker hears its Realtime channel. Being subscribed proves nothing: it counts as listening once a
 * `wake` has arrived on the present subscription, and the control plane, which compares the nonces, has the last word.
 */
export class Listening {
  #subscribed = false;
  #heard = false;
  #deaf = false;
  #nonce: string | null = null;

  /** It polls whenever it cannot be sure of being pushed its work. */
  get active(): boolean {
    return this.#subscribed && this.#heard && !this.#deaf;
  }

  get subscribed(): boolean {
    return this.#subscribed;
  }

  get deaf(): boolean {
    return this.#deaf;
  }

  /** The last nonce heard; each heartbeat echoes it. */
  get nonce(): string | null {
    return this.#nonce;
  }

  opened(): void {
    this.#subscribed = true;
    this.#heard = false;
    this.#deaf = false;
  }

  closed(): void {
    this.#subscribed = false;
    this.#heard = false;
  }

  wake(nonce: string): void {
    this.#nonce = nonce;
    this.#heard = true;
    this.#deaf = false;
  }

  /** What a heartbeat's answer says. */
  judged(deaf: boolean): void {
    this.#deaf = deaf;
  }
}
