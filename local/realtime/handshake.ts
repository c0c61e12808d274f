import { setTimeout as delay } from "node:timers/promises";
import { connectedUsers, type RealtimeContext } from "./context.ts";
import type { Serializer } from "./frames.ts";
import { Socket } from "./socket.ts";
import { TokenError } from "./tokens.ts";
import { v1Serializer } from "./v1-serializer.ts";
import { v2Serializer } from "./v2-serializer.ts";

/** Opens a websocket, or says over HTTP why not. `original` is the request as Deno.serve gave it: only that upgrades. */
export async function openSocket(context: RealtimeContext, request: Request, original: Request): Promise<Response> {
  const query = new URL(request.url).searchParams;
  const serializer = serializerFor(query.get("vsn") ?? "1.0.0");
  if (!serializer) return new Response(null, { status: 403 });
  if (original.headers.get("upgrade")?.toLowerCase() !== "websocket") {
    return new Response("Bad Request", { status: 400 });
  }

  const token = request.headers.get("x-api-key") ?? query.get("apikey");
  const refusal = await refusalOf(context, token);
  if (refusal) {
    context.log({ event: "realtime.connection_refused", ...refusal });
    await delay(context.limits.connectErrorDelayMs);
    return Response.json({ error: refusal.error }, {
      status: refusal.status,
      headers: { "content-type": "application/json; charset=utf-8" },
    });
  }

  // Read before the upgrade, which closes the request.
  const headers = extensionHeaders(request.headers);
  // Liveness is the heartbeat's business, not that of websocket pings.
  const { socket: webSocket, response } = Deno.upgradeWebSocket(original, { idleTimeout: 0 });
  new Socket(context, { webSocket, serializer, token: token ?? "", headers });
  return response;
}

async function refusalOf(
  context: RealtimeContext,
  token: string | null,
): Promise<{ status: number; error: string } | undefined> {
  if (context.limits.suspended) return { status: 403, error: "Realtime was disabled for this tenant" };
  if (token === null) return { status: 401, error: "API key is missing" };
  try {
    await context.verifyToken(token);
  } catch (error) {
    if (!(error instanceof TokenError) || error.code === "UnknownErrorOnChannel") {
      return { status: 500, error: "Error connecting to Realtime" };
    }
    return { status: 401, error: error.expired ? "Token has expired" : error.message };
  }
  const { limits, rates } = context;
  if (connectedUsers(context) >= limits.maxConnectedUsers) return { status: 429, error: "Too many connected users" };
  if (rates.joins.perSecond() >= limits.maxJoinsPerSecond) return { status: 429, error: "Too many joins per second" };
  return undefined;
}

function serializerFor(version: string): Serializer | undefined {
  if (/^1\.0\.\d+$/.test(version)) return v1Serializer;
  if (/^2\.0\.\d+$/.test(version)) return v2Serializer;
  return undefined;
}

/** Policies see a client's own headers as `request.headers`. */
function extensionHeaders(headers: Headers): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => name.startsWith("x-")));
}
