import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { AnyHandlerDefinition } from "../handler.ts";

/** Loads the handlers of a folder: the default export of each script in it, one definition or a list of them. */
export async function loadHandlers(folder: string): Promise<AnyHandlerDefinition[]> {
  const handlers: AnyHandlerDefinition[] = [];
  for (const name of (await readdir(folder)).sort()) {
    if (!/\.(ts|js|mjs)$/.test(name) || /\.test\.|\.d\.ts$/.test(name)) continue;
    const path = resolve(folder, name);
    const module: { default?: unknown } = await import(pathToFileURL(path).href);
    const found = Array.isArray(module.default) ? module.default : [module.default];
    for (const handler of found) {
      if (!isHandler(handler)) {
        throw new Error(`Cannot load handlers from ${path}: its default export must be what defineHandler() returns`);
      }
      handlers.push(handler);
    }
  }
  return handlers;
}

function isHandler(value: unknown): value is AnyHandlerDefinition {
  return typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" &&
    "handle" in value && typeof value.handle === "function";
}
