import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { ContentfulStatusCode } from "hono/utils/http-status";
import { AuthorizationError, type AuthorizationErrorCode } from "./authorization.ts";
import { type BatchMessage, invalidMessages, parseBatch } from "./broadcast-batch.ts";
import type { RealtimeContext } from "./context.ts";
import { channelKey } from "./dispatcher.ts";
import { isRecord, toBytes } from "./frames.ts";
import { exceedsPayload } from "./limits.ts";
import type { Claims } from "./tokens.ts";

/** A request's body, by its content type; one of another type is not read and counts as an empty object. */
type Body = { kind: "json"; value: Record<string, unknown> } | { kind: "binary"; bytes: Uint8Array<ArrayBuffer> };
type Env = { Variables: { claims: Claims; body: Body } };

const unsupportedMediaType = "Unsupported Media Type. Use application/json or application/octet-stream";
const payloadTooLarge = "Payload size exceeds tenant limit";
const rateExceeded = "You have exceeded your rate limit";

const withoutAnswer: Record<AuthorizationErrorCode, string> = {
  "policy-error": "RLS policy error",
  "query-canceled": "Query canceled",
  "missing-partition": "Missing messages partition",
  "database-down": "Tenant database unavailable",
};

/** The HTTP side: broadcasts in batches or one by one, and the health checks. */
export function createRestApi(context: RealtimeContext): Hono<Env> {
  const { dispatcher, limits, log, rates, verifyToken } = context;
  const { maxMessagesPerSecond } = limits;
  const app = new Hono<Env>();

  app.onError((error, c) => {
    log({ event: "realtime.request_failed", path: c.req.path, reason: String(error) });
    return failure(c, 500, "Internal Server Error");
  });

  app.get("/healthcheck", (c) => c.text("ok"));

  app.use(
    "/api/broadcast/*",
    bodyLimit({ maxSize: limits.maxBodyBytes, onError: (c) => failure(c, 413, "Request Entity Too Large") }),
    async (c, next) => {
      const body = await readBody(c);
      if (!body) return failure(c, 400, "Bad Request");
      c.set("body", body);
      return await next();
    },
  );

  app.use("/api/broadcast/:topic/events/:event", async (c, next) => {
    const type = mediaType(c);
    if (type === undefined || type === "application/json" || type === "application/octet-stream") return await next();
    return c.json({ error: unsupportedMediaType }, 415, { "access-control-allow-origin": "*" });
  });

  app.use("/api/*", async (c, next) => {
    rates.requests.add();
    const rate = Math.trunc(rates.requests.perSecond());
    if (rate >= maxMessagesPerSecond) c.res = c.json({ message: "Too many requests" }, 429);
    else await next();
    c.header("access-control-allow-origin", "*");
    c.header("x-rate-rolling", String(rate));
    c.header("x-rate-limit", String(maxMessagesPerSecond));
    c.header("x-rate-limit-remaining", String(maxMessagesPerSecond - rate));
  });

  app.get("/api/ping", (c) => c.json({ message: "Success" }));

  app.use("/api/broadcast/*", async (c, next) => {
    const bearer = /^bearer\s+(.+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
    try {
      c.set("claims", await verifyToken(bearer ?? c.req.header("apikey") ?? ""));
    } catch {
      return c.json({ message: "Unauthorized" }, 401);
    }
    if (limits.suspended) return c.json({ message: "Tenant is suspended" }, 403);
    return await next();
  });

  app.post("/api/broadcast", async (c) => {
    const { body } = c.var;
    const batch = parseBatch(body.kind === "json" ? body.value : {}, limits);
    if ("errors" in batch) return c.json(invalidMessages(batch.errors), 422);
    const rate = rates.messages.perSecond();
    if (rate > maxMessagesPerSecond) return c.json({ message: rateExceeded }, 429);
    if (rate + batch.messages.length > maxMessagesPerSecond) {
      return c.json({ message: "Too many messages to broadcast, please reduce the batch size" }, 429);
    }

    const byPrivacy = Map.groupBy(batch.messages, ({ isPrivate }) => isPrivate);
    for (const message of byPrivacy.get(false) ?? []) broadcast(message);
    // One question a topic. What is denied is dropped, and the batch accepted all the same.
    for (const [topic, messages] of Map.groupBy(byPrivacy.get(true) ?? [], ({ topic }) => topic)) {
      if (await mayWrite(c, topic).catch(() => false)) messages.forEach(broadcast);
    }
    return c.body(null, 202);
  });

  app.post("/api/broadcast/:topic/events/:event", async (c) => {
    const { topic, event } = c.req.param();
    const { body } = c.var;
    // The service decodes JSON and encodes it anew; only bytes go through as they came.
    const content = body.kind === "json"
      ? { encoding: "json" as const, body: toBytes(JSON.stringify(body.value)) }
      : { encoding: "binary" as const, body: body.bytes };
    if (exceedsPayload(limits, content.body.length)) return c.json({ errors: { payload: [payloadTooLarge] } }, 422);
    if (rates.messages.perSecond() >= maxMessagesPerSecond) return c.json({ message: rateExceeded }, 429);

    // A body's own key `private` wins over the query, as the service merges the two.
    const flags: Record<string, unknown> = { private: c.req.query("private"), ...(body.kind === "json" && body.value) };
    const isPrivate = flags.private === true || flags.private === "true";
    try {
      if (isPrivate && !await mayWrite(c, topic)) return c.json({ message: "Unauthorized" }, 403);
    } catch (error) {
      if (!(error instanceof AuthorizationError)) throw error;
      return c.json({ message: withoutAnswer[error.code] }, 422);
    }
    rates.messages.add();
    dispatcher.broadcast(channelKey(topic, isPrivate), { kind: "body", broadcast: { event, ...content } });
    return c.body(null, 202);
  });

  function broadcast({ topic, event, payload, isPrivate, id }: BatchMessage): void {
    rates.messages.add();
    const map = { payload, event, type: "broadcast", ...(id !== undefined && { meta: { id } }) };
    dispatcher.broadcast(channelKey(topic, isPrivate), {
      kind: "map",
      map,
      ...(id !== undefined && { meta: { id } }),
    });
  }

  async function mayWrite(c: Context<Env>, topic: string): Promise<boolean> {
    const headers = Object.fromEntries(c.req.raw.headers);
    const { broadcast } = await context.authorizer.writable({ topic, claims: c.var.claims, headers });
    return broadcast;
  }

  return app;
}

/** Undefined where the body is not the JSON that its type says. */
async function readBody(c: Context<Env>): Promise<Body | undefined> {
  const type = mediaType(c);
  const isJson = type !== undefined && /^application\/(json|.+\+json)$/.test(type);
  if (!isJson && type !== "application/octet-stream") return { kind: "json", value: {} };
  const bytes = new Uint8Array(await c.req.arrayBuffer());
  if (!isJson) return { kind: "binary", bytes };
  if (bytes.length === 0) return { kind: "json", value: {} };
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    return { kind: "json", value: isRecord(value) ? value : { _json: value } };
  } catch {
    return undefined;
  }
}

function mediaType(c: Context<Env>): string | undefined {
  return c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase();
}

/** An answer of the framework rather than of the API: the status in words, as JSON for who asks for that. */
function failure(c: Context, status: ContentfulStatusCode, words: string): Response {
  const asksForJson = c.req.header("accept")?.includes("json") ?? false;
  return asksForJson ? c.json(words, status) : c.text(words, status);
}
