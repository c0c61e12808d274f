import type { Runtime } from "./runtime.ts";

const inBrowser = typeof (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node !==
  "string";

/** The runtime this code runs in. Only its own file is loaded: a browser has no `node:` modules. */
export const runtime: Runtime = inBrowser ? (await import("./browser.ts")).browser : (await import("./node.ts")).node;
