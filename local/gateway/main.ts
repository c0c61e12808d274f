// The process that serves Supabase's paths on one loopback port and passes each request to the part it is for.
import http from "node:http";
import type { AddressInfo } from "node:net";
import { childSettings, serveForParent } from "../parent.ts";
import type { ApiKeys } from "../keys.ts";
import { forward, preflight } from "./forward.ts";
import { findRoute, type Route, type Upstreams } from "./route.ts";
import { upgrade } from "./upgrade.ts";

export type GatewaySettings = {
  port: number;
  /** Nothing but that port will do; else the next free one. */
  portIsFixed: boolean;
  keys: ApiKeys;
  upstreams: Upstreams;
};

let { port, portIsFixed, keys, upstreams } = childSettings<GatewaySettings>();

const server = http.createServer((request, response) => {
  const route = routeOf(request);
  if (request.method === "OPTIONS" && route.cors) return preflight(request, response);
  forward(request, response, route);
});
server.on("upgrade", (request, socket, head) => upgrade(request, socket, head, routeOf(request)));
// Clients keep connections, and uploads may be slow.
server.keepAliveTimeout = 75_000;
server.requestTimeout = 0;

serveForParent<GatewaySettings>({
  port: await listen(),
  onSettings: (settings) => void ({ upstreams } = settings),
});

function routeOf(request: http.IncomingMessage): Route {
  try {
    const url = new URL(`http://${request.headers.host}${request.url}`);
    const headers = new Headers(request.headers as Record<string, string>);
    return findRoute(url, headers, request.socket.remoteAddress, { keys, upstreams });
  } catch {
    return { cors: false, refusal: { status: 400, message: "Bad Request" } };
  }
}

async function listen(): Promise<number> {
  for (;; port += 1) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject).listen(port, "127.0.0.1", () => {
          server.off("error", reject);
          resolve();
        });
      });
      return (server.address() as AddressInfo).port;
    } catch (error) {
      if (portIsFixed || (error as { code?: string }).code !== "EADDRINUSE") throw error;
    }
  }
}
