import { createRoute, z } from "@hono/zod-openapi";
import type { Context } from "hono";
import { etag } from "hono/etag";
import { type ErrorCode, errorList, musterError } from "../../shared/errors.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Env } from "../../shared/http/env.ts";
import type { Log } from "../../shared/http/log.ts";
import { alsoFails, json, problems } from "../../shared/http/responses.ts";
import { type Block, toHtml, toMarkdown } from "./blocks.ts";
import type { Documents } from "./documents.ts";
import { errorBlocks, errorEntries, errorEntry, errorsPage } from "./errors-page.ts";
import { referencePage } from "./reference.ts";

export interface Deps {
  readonly documents: Documents;
  /** Where everybody reaches the project. */
  readonly publicUrl: string;
  readonly log: Log;
}

/** An API changes when it is deployed: until then five minutes of an old page harm nobody. */
const cacheControl = "public, max-age=300";

/** Builds the API that describes the API; it reads no environment, asks no database, and answers anybody. */
export function createApp({ documents: { openApi, messages }, publicUrl, log }: Deps) {
  const app = createApi({ name: "api", title: "Muster: the API itself", log, describesItself: false });
  app.use(
    etag({
      retainedHeaders: [
        "cache-control",
        "etag",
        "vary",
        "access-control-allow-origin",
        "access-control-expose-headers",
      ],
    }),
    async (c, next) => {
      await next();
      if (c.res.ok) c.header("cache-control", cacheControl);
    },
  );
  const openApiText = JSON.stringify({ ...openApi, servers: [{ url: `${publicUrl}/functions/v1` }] });
  const messagesText = JSON.stringify(messages);
  const showsHtml = !isPlainHost(publicUrl);

  const page = (c: Context<Env>, title: string, blocks: Block[]): Response => {
    c.header("vary", "accept");
    const accepted = c.req.header("accept") ?? "";
    if (accepts(accepted, "text/html") && showsHtml) {
      c.header("content-security-policy", "default-src 'none'; style-src 'unsafe-inline'");
      c.header("x-content-type-options", "nosniff");
      return c.body(toHtml(title, blocks), 200, { "content-type": "text/html; charset=utf-8" });
    }
    const type = accepts(accepted, "text/markdown") ? "text/markdown" : "text/plain";
    return c.body(toMarkdown(blocks), 200, { "content-type": `${type}; charset=utf-8` });
  };

  return app
    .openapi(getOpenApi, (c) => jsonText(c, openApiText) as never)
    .openapi(getMessages, (c) => jsonText(c, messagesText) as never)
    .openapi(getReference, (c) => page(c, "Muster: API reference", referencePage(openApi, messages)) as never)
    .openapi(listErrors, (c) => {
      if (accepts(c.req.header("accept") ?? "", "application/json")) {
        c.header("vary", "accept");
        return c.json({ errors: errorEntries() }, 200);
      }
      return page(c, "Muster: errors", errorsPage()) as never;
    })
    .openapi(getError, (c) => {
      const { code } = c.req.valid("param");
      if (!isListed(code)) throw musterError("not_found", `Cannot find error "${code}": no such code`);
      if (accepts(c.req.header("accept") ?? "", "application/json")) {
        c.header("vary", "accept");
        return c.json(errorEntry(code), 200);
      }
      return page(c, `Muster: ${code}`, errorBlocks(code, 1)) as never;
    });
}

/** On its own domain the platform turns HTML of functions into plain text; Markdown reads better then. */
function isPlainHost(url: string): boolean {
  return new URL(url).hostname.endsWith(".supabase.co");
}

function jsonText(c: Context<Env>, text: string): Response {
  return c.body(text, 200, { "content-type": "application/json" });
}

function accepts(header: string, type: string): boolean {
  return header.toLowerCase().split(",").some((part) => part.split(";")[0]!.trim() === type);
}

function isListed(code: string): code is ErrorCode {
  return Object.hasOwn(errorList, code);
}

const tags = ["api"];

const notModified = { 304: { description: "It is what `if-none-match` names" } } as const;

const text = (what: string) => ({
  description: what,
  content: {
    "text/html": { schema: z.string() },
    "text/markdown": { schema: z.string() },
    "text/plain": { schema: z.string() },
  },
});

const textOrJson = <Schema extends z.ZodType>(schema: Schema, what: string) => ({
  description: what,
  content: { ...json(schema, what).content, ...text(what).content },
});

const ErrorEntry = z.object({
  code: z.string().describe("Stable"),
  sqlState: z.string().nullable().describe("As SQL functions raise it; null for errors of HTTP alone"),
  status: z.number().int().describe("HTTP status"),
  retryable: z.boolean().describe("Whether the same request may succeed later without being changed"),
  title: z.string(),
  advice: z.string().describe("What to do about it"),
}).meta({ id: "ErrorEntry" });

const getOpenApi = createRoute({
  method: "get",
  path: "/openapi.json",
  operationId: "getOpenApi",
  summary: "The OpenAPI 3.1 document of all functions",
  description:
    "With this project's URL as the server. Each function also answers its own part, as `GET /<function>/openapi.json`.",
  ...alsoFails(),
  tags,
  responses: {
    200: json(z.looseObject({ openapi: z.string() }), "An OpenAPI 3.1 document"),
    ...notModified,
    ...problems,
  },
});

const getMessages = createRoute({
  method: "get",
  path: "/messages.json",
  operationId: "getMessagesSchema",
  summary: "The JSON Schema of every Realtime message",
  description: "Draft 2020-12; `x-channels` says which message goes over which channel.",
  ...alsoFails(),
  tags,
  responses: { 200: json(z.looseObject({ title: z.string() }), "A JSON Schema"), ...notModified, ...problems },
});

const getReference = createRoute({
  method: "get",
  path: "/reference",
  operationId: "getReference",
  summary: "The reference of the API, to be read",
  description:
    "HTML for browsers where the project serves it, as on a domain of its own and on the local stack; else Markdown.",
  ...alsoFails(),
  tags,
  responses: { 200: text("The page"), ...notModified, ...problems },
});

const listErrors = createRoute({
  method: "get",
  path: "/errors",
  operationId: "listErrors",
  summary: "Every error, and what to do about it",
  description: "JSON for who accepts `application/json`; HTML or Markdown for the others.",
  ...alsoFails(),
  tags,
  responses: {
    200: textOrJson(z.object({ errors: z.array(ErrorEntry) }), "The list of errors"),
    ...notModified,
    ...problems,
  },
});

const getError = createRoute({
  method: "get",
  path: "/errors/{code}",
  operationId: "getError",
  summary: "One error, and what to do about it",
  description: "The `type` of every problem document leads here.",
  ...alsoFails("not_found"),
  tags,
  request: {
    params: z.object({ code: z.string().min(1).max(100).describe("The error's code").meta({ example: "not_found" }) }),
  },
  responses: { 200: textOrJson(ErrorEntry, "The error"), ...notModified, ...problems },
});
