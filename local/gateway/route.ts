import { type Refusal, swapKey } from "./keys.ts";
import type { ApiKeys } from "../keys.ts";

export type Part = "lite" | "functions" | "realtime";

/** The loopback ports of the parts of the moment; one that is not there is answered with 503. */
export type Upstreams = Partial<Record<Part, number>>;

export type RouteOptions = { keys: ApiKeys; upstreams: Upstreams };

/** Where a request goes, or why nowhere. `cors`: the part leaves it to the gateway to let pages of any origin in. */
export type Route = { cors: boolean } & ({ port: number; path: string; headers: Headers } | { refusal: Refusal });

const parts: Record<string, { part: Part; starting: string; cors: boolean }> = {
  // Functions answer preflights themselves.
  functions: { part: "functions", starting: "The functions are still starting", cors: false },
  rest: { part: "lite", starting: "The Data API is still starting", cors: true },
  auth: { part: "lite", starting: "The Data API is still starting", cors: true },
  storage: { part: "lite", starting: "The Data API is still starting", cors: true },
  realtime: { part: "realtime", starting: "Realtime is still starting", cors: true },
};

/** How an edge tells whom a request is from: what a client says there by itself is not passed on. */
const addressHeaders = [
  "cf-connecting-ip",
  "true-client-ip",
  "x-real-ip",
  "x-client-ip",
  "forwarded",
  "x-forwarded-for",
];

/** Finds the part for a path of Supabase's and rewrites path, key and headers for it. `from` is the client's address. */
export function findRoute(url: URL, given: Headers, from: string | undefined, options: RouteOptions): Route {
  const { keys, upstreams } = options;
  const [, service = "", version] = url.pathname.split("/");
  const found = version === "v1" && Object.hasOwn(parts, service) ? parts[service] : undefined;
  if (!found) return { cors: false, refusal: { status: 404, message: "no Route matched with those values" } };
  const { part, starting, cors } = found;
  const port = upstreams[part];
  if (port === undefined) return { cors, refusal: { status: 503, message: starting } };

  const headers = new Headers(given);
  const needsKey = service === "rest" || (service === "auth" && !isOpenAuthPath(url.pathname));
  // Functions are given keys as they came: they check these themselves.
  const refusal = part === "functions" ? undefined : swapKey(headers, url, keys, needsKey ? "required" : "optional");
  if (refusal) return { cors, refusal };
  for (const name of addressHeaders) headers.delete(name);
  if (from !== undefined) headers.set("x-forwarded-for", from);
  headers.set("x-forwarded-host", url.hostname);
  headers.set("x-forwarded-port", url.port);
  headers.set("x-forwarded-proto", "http");
  return { cors, port, path: pathFor(part, url.pathname) + url.search, headers };
}

function pathFor(part: Part, path: string): string {
  switch (part) {
    case "lite":
      return path;
    case "functions":
      // They see their own name first in the path, as on the platform.
      return path.slice("/functions/v1".length) || "/";
    case "realtime": {
      const rest = path.slice("/realtime/v1".length);
      return rest === "/healthcheck" || rest === "/api" || rest.startsWith("/api/") ? rest : `/socket${rest}`;
    }
  }
}

function isOpenAuthPath(path: string): boolean {
  return /^\/auth\/v1\/(verify|callback|authorize|health|\.well-known\/.*)$/.test(path);
}
