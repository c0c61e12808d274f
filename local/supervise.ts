import { type Child, type ChildOptions, startChild } from "./child.ts";

const retryAfterMs = 500;

/** Starts a child that is started again, with a line in the log, when it ends by itself. `port` is always the current. */
export async function startSupervised(options: ChildOptions): Promise<Child> {
  let stopped = false;
  let restarting: Promise<void> | undefined;
  let current = await startChild({ ...options, onExit });

  function onExit(reason: string): void {
    if (stopped) return;
    options.log(options.name, `ended with ${reason}; starting it again`);
    restarting = restart();
  }

  async function restart(): Promise<void> {
    while (!stopped) {
      try {
        const next = await startChild({ ...options, onExit });
        current = next;
        if (stopped) await next.stop();
        return;
      } catch (error) {
        options.log(options.name, error instanceof Error ? error.message : String(error));
        await new Promise((resolve) => setTimeout(resolve, retryAfterMs));
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
    async stop() {
      stopped = true;
      await restarting;
      await current.stop();
    },
  };
}
