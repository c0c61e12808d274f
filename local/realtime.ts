import { join } from "node:path";
import type { VerifyingKeys } from "./keys.ts";
import type { Log } from "./log.ts";
import type { RealtimeSettings } from "./realtime/main.ts";
import type { RealtimeFaults } from "./realtime/faults.ts";
import type { RealtimeLimits } from "./realtime/limits.ts";
import { startSupervised, type Supervised } from "./supervise.ts";

/** For tests: what the service shall do wrong. It is kept when the process is started again. */
export type RealtimeControl = {
  /** Off: all sockets are closed and new ones refused with 503, as in an outage. */
  setEnabled(on: boolean): Promise<void>;
  /** Changes the given faults; the others stay as they are. */
  setFaults(faults: Partial<RealtimeFaults>): Promise<void>;
};

export type RealtimeOptions = VerifyingKeys & {
  /** As a superuser: for replication, and for asking the policies in other roles. */
  dbUrl: string;
  limits?: Partial<RealtimeLimits>;
  log: Log;
  onPort: (port: number | undefined) => void;
};

export type RealtimeProcess = Pick<Supervised, "pid" | "stop"> & { control: RealtimeControl };

/** Starts the stand-in for Realtime on a loopback port; returns once it follows the database. */
export async function startRealtime(options: RealtimeOptions): Promise<RealtimeProcess> {
  const { limits = {}, log, onPort, ...project } = options;
  const settings: RealtimeSettings = { ...project, limits, enabled: true, faults: {} };
  const child = await startSupervised({
    name: "realtime",
    script: join(import.meta.dirname!, "realtime", "main.ts"),
    settings: () => settings,
    log,
    onPort,
  });
  return {
    get pid() {
      return child.pid;
    },
    control: {
      async setEnabled(on) {
        settings.enabled = on;
        await child.update();
      },
      async setFaults(faults) {
        Object.assign(settings.faults, faults);
        await child.update();
      },
    },
    stop: () => child.stop(),
  };
}
