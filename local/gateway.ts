import { join } from "node:path";
import type { GatewaySettings } from "./gateway/main.ts";
import type { Part, Upstreams } from "./gateway/route.ts";
import type { ApiKeys } from "./keys.ts";
import type { Log } from "./log.ts";
import { startSupervised } from "./supervise.ts";

export type Gateway = {
  url: string;
  readonly pid: number;
  /** Says where a part serves now, or that it does not. */
  setUpstream(part: Part, port: number | undefined): void;
  /** Resolves when the gateway goes by what it was told. */
  settled(): Promise<void>;
  stop(): Promise<void>;
};

export type GatewayOptions = { port: number; keys: ApiKeys; log: Log };

/** Serves Supabase's paths on one loopback port, or one after it; started again, it serves on the same. */
export async function startGateway({ port: preferred, keys: all, log }: GatewayOptions): Promise<Gateway> {
  const { publishableKey, secretKey, anonKey, serviceRoleKey } = all;
  const keys = { publishableKey, secretKey, anonKey, serviceRoleKey };
  const upstreams: Upstreams = {};
  let served: number | undefined;
  const child = await startSupervised({
    name: "gateway",
    script: join(import.meta.dirname!, "gateway", "main.ts"),
    settings: (): GatewaySettings => ({
      port: served ?? preferred,
      portIsFixed: served !== undefined,
      keys,
      upstreams,
    }),
    onPort: (port) => served ??= port,
    log,
  });
  return {
    url: `http://127.0.0.1:${served}`,
    get pid() {
      return child.pid;
    },
    setUpstream(part, port) {
      if (port === undefined) delete upstreams[part];
      else upstreams[part] = port;
      child.update().catch((error) => log("gateway", error.message));
    },
    settled: () => child.update(),
    stop: () => child.stop(),
  };
}
