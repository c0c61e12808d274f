import { setTimeout as delay } from "node:timers/promises";
import { type Child, ChildEndedError, type ChildOptions, startChild } from "./child.ts";
import { Pauses } from "./pauses.ts";

export type SupervisedOptions = Omit<ChildOptions, "settings" | "onExit" | "signal"> & {
  /** What the child shall do now; asked at each start and each `update()`. */
  settings?: () => object;
  /** Told the port of each start, and undefined while there is none. */
  onPort?: (port: number | undefined) => void;
};

export type Supervised = {
  /** Of the moment: a child that ended is started again under another id. */
  readonly pid: number;
  readonly port: number;
  /** Gives the child the settings of now; resolves when it goes by them, which may take a restart. */
  update(): Promise<void>;
  stop(): Promise<void>;
};

/** Starts a child that is started again, after a pause and with a line in the log, when it ends by itself. */
export async function startSupervised(options: SupervisedOptions): Promise<Supervised> {
  const { name, log, settings = () => ({}), onPort = () => {} } = options;
  const stopping = new AbortController();
  const pauses = new Pauses({ firstMs: 500, mostMs: 10_000, resetAfterMs: 60_000 });
  let startedAt = performance.now();
  // Resolves when the child of the moment is there, or the stop has begun.
  let ready: Promise<void> = Promise.resolve();
  let current = await start();

  function start(): Promise<Child> {
    startedAt = performance.now();
    return startChild({ ...options, settings: settings(), onExit, signal: stopping.signal }).then((child) => {
      onPort(child.port);
      return child;
    });
  }

  function onExit(reason: string): void {
    if (stopping.signal.aborted) return;
    onPort(undefined);
    ready = restart(reason);
  }

  async function restart(reason: string): Promise<void> {
    for (let why = reason; !stopping.signal.aborted;) {
      const pauseMs = pauses.next(performance.now() - startedAt);
      log(name, `ended with ${why}; starting it again in ${pauseMs / 1000} s`);
      try {
        await delay(pauseMs, undefined, { signal: stopping.signal });
        current = await start();
        return;
      } catch (error) {
        why = error instanceof Error ? error.message : String(error);
      }
    }
  }

  return {
    get pid() {
      return current.pid;
    },
    get port() {
      return current.port;
    },
    async update() {
      while (!stopping.signal.aborted) {
        await ready;
        try {
          return await current.tell(settings());
        } catch (error) {
          if (!(error instanceof ChildEndedError)) throw error;
        }
      }
    },
    async stop() {
      stopping.abort();
      await ready;
      await current.stop();
    },
  };
}
