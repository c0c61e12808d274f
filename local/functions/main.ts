// The process that hosts all Edge Functions. Each folder's index.ts runs as it is: `Deno.serve` is replaced while it is
// loaded, so that what it would serve by itself becomes one path of this server.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { FunctionsSettings } from "../functions.ts";
import { childSettings, serveForParent } from "../parent.ts";
import { captureServe, type Handler } from "./capture-serve.ts";

const { dir } = childSettings<FunctionsSettings>();
const handlers = new Map<string, Handler>();
const serve = Deno.serve;

for (const name of await functionNames(dir)) {
  try {
    const handler = await captureServe(() => import(pathToFileURL(join(dir, name, "index.ts")).href));
    if (handler) handlers.set(name, handler);
    else console.error(`function ${name}: it never called Deno.serve`);
  } catch (error) {
    console.error(`function ${name} cannot be loaded: ${error instanceof Error ? error.stack : error}`);
    handlers.set(name, () => failure(503, "BOOT_ERROR", `Function failed to start (please check logs)`));
  }
}

// One function's stray promise must not end the others.
addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  console.error(`unhandled rejection in a function: ${event.reason?.stack ?? event.reason}`);
});

const server = serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request, info) => {
  const name = new URL(request.url).pathname.split("/")[1] ?? "";
  const handler = handlers.get(name);
  return handler ? handler(request, info) : failure(404, "NOT_FOUND", "Requested function was not found");
});
serveForParent({ port: server.addr.port });

async function functionNames(dir: string): Promise<string[]> {
  const names: string[] = [];
  for await (const entry of Deno.readDir(dir)) {
    // Folders that begin with an underscore are shared code, as for the Supabase CLI.
    if (!entry.isDirectory || entry.name.startsWith("_")) continue;
    const found = await Deno.stat(join(dir, entry.name, "index.ts")).then((stat) => stat.isFile, () => false);
    if (found) names.push(entry.name);
  }
  return names.sort();
}

function failure(status: number, code: string, message: string): Response {
  return Response.json({ code, message }, { status });
}
