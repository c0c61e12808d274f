// deno-lint-ignore no-explicit-any -- tests assert on what they expect in it
type Frame = { ref: string | null; topic: string; event: string; payload: any };

/** A websocket that speaks version 2 of Realtime's protocol by hand. */
export class RealtimeSocket implements Disposable {
  readonly closed: Promise<number>;
  readonly #webSocket: WebSocket;
  readonly #frames: Frame[] = [];
  #arrived = Promise.withResolvers<void>();
  #lastRef = 0;

  private constructor(webSocket: WebSocket) {
    this.#webSocket = webSocket;
    webSocket.onmessage = ({ data }) => {
      const [, ref, topic, event, payload] = JSON.parse(data);
      this.#frames.push({ ref, topic, event, payload });
      this.#arrived.resolve();
    };
    this.closed = new Promise((resolve) => webSocket.onclose = ({ code }) => resolve(code));
    this.closed.then(() => this.#arrived.resolve());
  }

  static async open(url: string, key: string): Promise<RealtimeSocket> {
    const target = `${url.replace("http", "ws")}/realtime/v1/websocket?vsn=2.0.0&apikey=${key}`;
    const webSocket = new WebSocket(target);
    const socket = new RealtimeSocket(webSocket);
    await new Promise<void>((resolve, reject) => {
      webSocket.onopen = () => resolve();
      webSocket.onerror = () => reject(new Error(`Cannot open ${target}`));
    });
    return socket;
  }

  /** Sends and waits for the reply. */
  async request(topic: string, event: string, payload: object): Promise<Frame> {
    const ref = String(++this.#lastRef);
    const joinRef = topic === "phoenix" ? null : `join ${topic}`;
    this.#webSocket.send(JSON.stringify([joinRef, ref, topic, event, payload]));
    return await this.next((frame) => frame.event === "phx_reply" && frame.ref === ref);
  }

  async join(subTopic: string, config: object = {}): Promise<Frame> {
    return await this.request(`realtime:${subTopic}`, "phx_join", { config });
  }

  /** Sends a broadcast to a channel that was joined with `ack`. */
  async broadcast(subTopic: string, payload: object): Promise<void> {
    await this.request(`realtime:${subTopic}`, "broadcast", { type: "broadcast", event: "e", payload });
  }

  /** The first frame that matches, taken out. */
  async next(matches: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const index = this.#frames.findIndex(matches);
      if (index >= 0) return this.#frames.splice(index, 1)[0]!;
      if (this.#webSocket.readyState !== WebSocket.OPEN) throw new Error("The socket was closed");
      this.#arrived = Promise.withResolvers();
      await this.#arrived.promise;
    }
  }

  /** The broadcasts that came, once everything sent before was answered. */
  async broadcasts(): Promise<Frame[]> {
    await this.request("phoenix", "heartbeat", {});
    return this.#frames.splice(0).filter(({ event }) => event === "broadcast");
  }

  [Symbol.dispose](): void {
    this.#webSocket.close();
  }
}
