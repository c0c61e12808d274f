import { join } from "node:path";
import { startSupervised, type Supervised } from "./supervise.ts";
import type { LiteSettings } from "./lite/app.ts";
import type { Log } from "./log.ts";

/** Starts the Data API, Auth and Storage on a loopback port; returns once the database is a Supabase project. */
export function startLite(
  settings: LiteSettings,
  log: Log,
  onPort: (port: number | undefined) => void,
): Promise<Supervised> {
  return startSupervised({
    name: "lite",
    script: join(import.meta.dirname!, "lite", "main.ts"),
    env: {
      // Read when the package is loaded.
      EXPERIMENTAL_STORAGE: "1",
      LITE_TELEMETRY: "0",
      DO_NOT_TRACK: "1",
      SENTRY_DSN: "",
    },
    settings: () => settings,
    onPort,
    // Lite warns at each start that its Storage is an experiment. Here it is a stand-in, and known to be one.
    log: (part, line) => line.includes("EXPERIMENTAL FEATURES ENABLED") || log(part, line),
  });
}
