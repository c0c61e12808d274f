import type { LocalKeys } from "./keys.ts";
import { freePort } from "./ports.ts";
import { swapKey } from "./gateway-keys.ts";
import { forward, preflight, withCors } from "./gateway-forward.ts";

/** The parts behind the gateway; one that is not there yet is answered with 503. */
export type Upstreams = {
  lite?: { port: number };
  functions?: { port: number };
  /** Told the rewritten request, and the one that came in, which alone can become a socket. */
  realtime?: { fetch(request: Request, original: Request): Promise<Response> };
};

export type Gateway = { url: string; port: number; stop(): Promise<void> };

/** Serves Supabase's paths on one loopback port, or one after it, and passes each request to the part it is for. */
export function startGateway(port: number, keys: LocalKeys, upstreams: Upstreams): Gateway {
  const server = listen(port, (request, info) => route(request, info.completed, keys, upstreams));
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    port: server.addr.port,
    async stop() {
      // Open streams and sockets would keep a gentle shutdown waiting for ever.
      const closed = server.shutdown();
      await Promise.race([closed, new Promise((resolve) => setTimeout(resolve, 500))]);
    },
  };
}

function listen(preferred: number, handler: Deno.ServeHandler<Deno.NetAddr>): Deno.HttpServer<Deno.NetAddr> {
  for (let port = preferred;; port = freePort(port + 1)) {
    try {
      return Deno.serve({ hostname: "127.0.0.1", port, onListen: () => {}, onError: badGateway }, handler);
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

function badGateway(error: unknown): Response {
  return failure(502, `Cannot reach the service: ${error instanceof Error ? error.message : error}`);
}

async function route(
  request: Request,
  completed: Promise<void>,
  keys: LocalKeys,
  upstreams: Upstreams,
): Promise<Response> {
  const url = new URL(request.url);
  const [, service, version] = url.pathname.split("/");
  if (version !== "v1") return failure(404, "no Route matched with those values");

  switch (service) {
    case "functions": {
      // Functions answer preflights themselves and see their own name first in the path, as on the platform.
      if (!upstreams.functions) return failure(503, "The functions are still starting");
      url.pathname = url.pathname.slice("/functions/v1".length) || "/";
      const headers = swapKey(request, url, keys, "optional");
      return await forward(request, url, upstreams.functions.port, headers, completed);
    }
    case "rest":
    case "auth":
    case "storage": {
      if (request.method === "OPTIONS") return preflight(request);
      if (!upstreams.lite) return withCors(failure(503, "The Data API is still starting"));
      const needsKey = service === "rest" || (service === "auth" && !isOpenAuthPath(url.pathname));
      const headers = swapKey(request, url, keys, needsKey ? "required" : "optional");
      return withCors(await forward(request, url, upstreams.lite.port, headers, completed));
    }
    case "realtime": {
      if (request.method === "OPTIONS") return preflight(request);
      if (!upstreams.realtime) return withCors(failure(503, "Realtime is still starting"));
      return await toRealtime(request, url, keys, upstreams.realtime);
    }
    default:
      return failure(404, "no Route matched with those values");
  }
}

async function toRealtime(
  request: Request,
  url: URL,
  keys: LocalKeys,
  realtime: NonNullable<Upstreams["realtime"]>,
): Promise<Response> {
  const headers = swapKey(request, url, keys, "optional");
  const path = url.pathname.slice("/realtime/v1".length);
  url.pathname = path === "/healthcheck" || path === "/api" || path.startsWith("/api/") ? path : `/socket${path}`;
  if (headers instanceof Response) return withCors(headers);
  const rewritten = new Request(url, { ...bodyOf(request), method: request.method, headers });
  const answer = await realtime.fetch(rewritten, request);
  return answer.status === 101 ? answer : withCors(answer);
}

function bodyOf(request: Request): { body?: ReadableStream<Uint8Array> } {
  return request.body ? { body: request.body } : {};
}

function isOpenAuthPath(path: string): boolean {
  return /^\/auth\/v1\/(verify|callback|authorize|health|\.well-known\/.*)$/.test(path);
}

function failure(status: number, message: string): Response {
  return Response.json({ message }, { status });
}
