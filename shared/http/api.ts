import { OpenAPIHono } from "@hono/zod-openapi";
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
}

/** Starts a function's app: its base path, correlation ids, logs, CORS, problem documents and OpenAPI document. */
export function createApi({ name, title, log }: ApiOptions): OpenAPIHono<Env, Record<never, never>, `/${string}`> {
  const root = new OpenAPIHono<Env>({ defaultHook: invalidRequest });
  root.use(correlationId(log.with({ function: name })), cors());
  root.onError(toProblem);
  const api = root.basePath(`/${name}`);
  api.notFound(notFound((path) => methodsOf(api.routes, path)));
  for (const [scheme, description] of Object.entries(securitySchemes)) {
    api.openAPIRegistry.registerComponent("securitySchemes", scheme, description);
  }
  api.get("/openapi.json", (c) => c.json(openApiDocument(api, title)));
  return api;
}

/** The OpenAPI 3.1 document of an app. */
export function openApiDocument(
  api: Pick<OpenAPIHono<Env>, "getOpenAPI31Document">,
  title: string,
): ReturnType<OpenAPIHono["getOpenAPI31Document"]> {
  return api.getOpenAPI31Document({
    openapi: "3.1.0",
    info: { title, version: "0.1.0" },
    servers: [{ url: "/functions/v1" }],
  });
}

/** The methods that some route of this path has. */
function methodsOf(routes: readonly { readonly method: string; readonly path: string }[], path: string): string[] {
  const methods = routes.filter((route) => route.method !== "ALL" && matches(route.path, path)).map(({ method }) =>
    method
  );
  return [...new Set(methods)];
}

function matches(pattern: string, path: string): boolean {
  const wanted = pattern.split("/");
  const given = path.split("/");
  return wanted.length === given.length &&
    wanted.every((part, index) => part.startsWith(":") ? given[index] !== "" : part === given[index]);
}
