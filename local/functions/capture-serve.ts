export type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

/** Loads a module and returns the handler it gave to `Deno.serve`, or its default export's `fetch`. */
export async function captureServe(load: () => Promise<unknown>): Promise<Handler | undefined> {
  const original = Deno.serve;
  let handler: Handler | undefined;
  // All forms of Deno.serve: (handler), (options, handler), ({ handler, …options }).
  const capture = (...args: unknown[]) => {
    const options = args.find((arg) => typeof arg === "object" && arg !== null) as { handler?: Handler } | undefined;
    handler = (args.find((arg) => typeof arg === "function") ?? options?.handler) as Handler;
    return idleServer();
  };
  Object.defineProperty(Deno, "serve", { value: capture, configurable: true, writable: true });
  try {
    const loaded = await load() as { default?: { fetch?: Handler } } | undefined;
    const fetch = loaded?.default?.fetch;
    return handler ?? (typeof fetch === "function" ? fetch.bind(loaded?.default) : undefined);
  } finally {
    Object.defineProperty(Deno, "serve", { value: original, configurable: true, writable: true });
  }
}

function idleServer(): Deno.HttpServer {
  return {
    addr: { transport: "tcp", hostname: "127.0.0.1", port: 0 },
    finished: new Promise(() => {}),
    ref() {},
    unref() {},
    shutdown: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  } as Deno.HttpServer;
}
