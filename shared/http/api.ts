import { OpenAPIHono } from "@hono/zod-openapi";
import type { MiddlewareHandler } from "hono";
import { completeDocument } from "./complete-document.ts";
import { correlationId } from "./correlation-id.ts";
import { cors } from "./cors.ts";
import type { Env } from "./env.ts";
import { invalidRequest } from "./invalid-request.ts";
import type { Log } from "./log.ts";
import { securitySchemes } from "./security.ts";
import { notFound, toProblem } from "./to-problem.ts";

export interface ApiOptions {
  /** The function's name, which every path begins with. */
  readonly name: string;
  readonly title: string;
  readonly log: Log;
  /** Whether it answers the OpenAPI document of its own routes; default true. */
  readonly describesItself?: boolean;
}

/** Starts a function's app: its base path, correlation ids, logs, CORS, problem documents and OpenAPI document. */
export function createApi(
  { name, title, log, describesItself = true }: ApiOptions,
): OpenAPIHono<Env, Record<never, never>, `/${string}`> {
  const root = new OpenAPIHono<Env>({ defaultHook: invalidRequest });
  const methods = (path: string): string[] => methodsOf(api.routes, path);
  root.use(correlationId(log.with({ function: name })), cors(methods), noStore());
  root.onError(toProblem);
  const api = root.basePath(`/${name}`);
  api.notFound(notFound(methods));
  for (const [scheme, description] of Object.entries(securitySchemes)) {
    api.openAPIRegistry.registerComponent("securitySchemes", scheme, description);
  }
  if (describesItself) api.get("/openapi.json", (c) => c.json(openApiDocument(api, title)));
  return api;
}

/** The OpenAPI 3.1 document of an app. */
export function openApiDocument(
  api: Pick<OpenAPIHono<Env>, "getOpenAPI31Document">,
  title: string,
): ReturnType<OpenAPIHono["getOpenAPI31Document"]> {
  return completeDocument(api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title,
      version: "0.1.0",
      description: "A control plane for work on machines you own",
      license: { name: "MIT", url: "https://opensource.org/license/mit" },
    },
    servers: [{
      url: "{project}/functions/v1",
      description: "A Supabase project, or the local stack",
      variables: { project: { default: "http://127.0.0.1:54321", description: "URL of the project" } },
    }],
  }));
}

/** Answers tell of one caller's jobs, keys and tokens: nothing between here and there may keep them. */
function noStore(): MiddlewareHandler {
  return async (c, next) => {
    await next();
    if (!c.res.headers.has("cache-control")) c.header("cache-control", "no-store");
  };
}

/** The methods that some route of this path has. */
function methodsOf(routes: readonly { readonly method: string; readonly path: string }[], path: string): string[] {
  const matching = routes.filter((route) => route.method !== "ALL" && matches(route.path, path));
  // What has a path of its own is not what a parameter beside it stands for: /schedules/preview is no schedule.
  const own = matching.filter((route) => route.path === path);
  return [...new Set((own.length > 0 ? own : matching).map(({ method }) => method))];
}

function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const given = path.split("/");
  return wanted.length === given.length &&
    wanted.every((part, index) => part.startsWith(":") ? given[index] !== "" : part === given[index]);
}
