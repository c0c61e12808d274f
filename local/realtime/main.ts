// The process that serves Realtime: started and controlled by `../realtime.ts`.
import type { VerifyingKeys } from "../keys.ts";
import { childSettings, serveForParent } from "../parent.ts";
import { createRealtime, type RealtimeFaults, type RealtimeLimits } from "./server.ts";

export type RealtimeSettings = VerifyingKeys & {
  /** As a superuser. */
  dbUrl: string;
  limits: Partial<RealtimeLimits>;
  enabled: boolean;
  faults: Partial<RealtimeFaults>;
};

const settings = childSettings<RealtimeSettings>();
const { enabled: _, faults: __, ...options } = settings;
const realtime = createRealtime({ ...options, log: (line) => console.error(JSON.stringify(line)) });
await realtime.start();
await control(settings);
const server = Deno.serve(
  { hostname: "127.0.0.1", port: 0, onListen: () => {} },
  (request) => realtime.fetch(request),
);

serveForParent<RealtimeSettings>({ port: server.addr.port, onSettings: control, stop: () => realtime.stop() });

async function control({ enabled, faults }: RealtimeSettings): Promise<void> {
  await realtime.setFaults(faults);
  realtime.setEnabled(enabled);
}
