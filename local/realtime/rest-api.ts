import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { AuthorizationError } from "./authorization.ts";
import { invalidMessages, parseBatch } from "./broadcast-batch.ts";
import type { RealtimeContext } from "./context.ts";
import { channelKey } from "./dispatcher.ts";
import { isRecord, toBytes, type UserBroadcast } from "./frames.ts";
import { exceedsPayload } from "./limits.ts";
import type { Claims } from "./tokens.ts";

type Env = { Variables: { claims: Claims } };

const maxBodyBytes = 8_000_000;
const unsupportedMediaType = "Unsupported Media Type. Use application/json or application/octet-stream";
const payloadTooLarge = "Payload size exceeds tenant limit";

/** The HTTP side: broadcasts in batches or one by one, and the health checks. */
export function createRestApi(context: RealtimeContext): Hono<Env> {
  const { dispatcher, limits, rates, verifyToken } = context;
  const app = new Hono<Env>();

  app.get("/healthcheck", (c) => c.text("ok"));

  app.use("/api/*", async (c, next) => {
    rates.requests.add();
    const rate = rates.requests.perSecond();
    await (rate > limits.maxMessagesPerSecond ? respond(c, 429, { message: "Too many requests" }) : next());
    c.header("access-control-allow-origin", "*");
    c.header("x-rate-rolling", String(rate));
    c.header("x-rate-limit", String(limits.maxMessagesPerSecond));
    c.header("x-rate-limit-remaining", String(Math.max(Math.floor(limits.maxMessagesPerSecond - rate), 0)));
  });

  app.get("/api/ping", (c) => c.json({ message: "Success" }));

  app.use("/api/broadcast/*", async (c, next) => {
    const bearer = /^bearer\s+(.+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
    try {
      c.set("claims", await verifyToken(bearer ?? c.req.header("apikey") ?? ""));
    } catch {
      return c.json({ message: "Unauthorized" }, 401);
    }
    return await next();
  }, bodyLimit({ maxSize: maxBodyBytes }));

  app.post("/api/broadcast", async (c) => {
    const body: unknown = await c.req.json().catch(() => undefined);
    if (body === undefined) return c.json({ error: "Bad Request" }, 400);
    const batch = parseBatch(body, limits);
    if ("errors" in batch) return c.json(invalidMessages(batch.errors), 422);
    const rate = rates.messages.perSecond();
    if (rate > limits.maxMessagesPerSecond) return c.json({ message: "You have exceeded your rate limit" }, 429);
    if (rate + batch.messages.length > limits.maxMessagesPerSecond) {
      return c.json({ message: "Too many messages to broadcast, please reduce the batch size" }, 429);
    }

    const permitted = new Map<string, boolean>();
    for (const { topic, event, payload, isPrivate, id } of batch.messages) {
      if (isPrivate && !permitted.has(topic)) permitted.set(topic, await mayWrite(c, topic).catch(() => false));
      // A denied message is dropped and the batch accepted all the same.
      if (isPrivate && !permitted.get(topic)) continue;
      rates.messages.add();
      const map = { payload, event, type: "broadcast", ...(id !== undefined && { meta: { id } }) };
      dispatcher.broadcast(channelKey(topic, isPrivate), { kind: "map", map });
    }
    return c.body(null, 202);
  });

  app.post("/api/broadcast/:topic/events/:event", async (c) => {
    const content = await readContent(c);
    if (content instanceof Response) return content;
    const { topic, event } = c.req.param();
    if (exceedsPayload(limits, content.body.length, toBytes(event).length)) {
      return c.json({ errors: { payload: [payloadTooLarge] } }, 422);
    }
    if (rates.messages.perSecond() > limits.maxMessagesPerSecond) {
      return c.json({ message: "You have exceeded your rate limit" }, 429);
    }
    // A body's own key `private` wins over the query, as the service merges the two.
    const isPrivate = String(content.isPrivate ?? c.req.query("private")).toLowerCase() === "true";
    try {
      if (isPrivate && !await mayWrite(c, topic)) return c.json({ message: "Unauthorized" }, 403);
    } catch (error) {
      if (!(error instanceof AuthorizationError)) throw error;
      return c.json({ message: "RLS policy error" }, 422);
    }
    rates.messages.add();
    const { encoding, body } = content;
    dispatcher.broadcast(channelKey(topic, isPrivate), { kind: "body", broadcast: { event, encoding, body } });
    return c.body(null, 202);
  });

  async function mayWrite(c: Context<Env>, topic: string): Promise<boolean> {
    const headers = Object.fromEntries(c.req.raw.headers);
    const { broadcast } = await context.authorizer.writable({ topic, claims: c.var.claims, headers });
    return broadcast;
  }

  return app;
}

/** The body of a single broadcast, by its content type. */
async function readContent(
  c: Context<Env>,
): Promise<Omit<UserBroadcast, "event"> & { isPrivate?: unknown } | Response> {
  const type = c.req.header("content-type")?.split(";")[0]?.trim().toLowerCase();
  if (type === undefined) return { encoding: "json", body: toBytes("{}") };
  const body = new Uint8Array(await c.req.arrayBuffer());
  if (type === "application/octet-stream") return { encoding: "binary", body };
  if (type !== "application/json") return c.json({ error: unsupportedMediaType }, 415);
  if (body.length === 0) return { encoding: "json", body: toBytes("{}") };
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(body));
  } catch {
    return c.json({ error: "Bad Request" }, 400);
  }
  if (!isRecord(value)) return { encoding: "json", body: toBytes(JSON.stringify({ _json: value })) };
  return { encoding: "json", body, isPrivate: value.private };
}

function respond(c: Context<Env>, status: 429, body: object): Promise<void> {
  c.res = c.json(body, status);
  return Promise.resolve();
}
