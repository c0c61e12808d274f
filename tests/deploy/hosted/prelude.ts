// Loaded before a function's own file: what the hosted runtime lacks is missing here, too, and each answer says what it
// cost. No permission of Deno refuses web workers, so they are taken away.
import process from "node:process";

class NoWorker {
  constructor() {
    throw new Error("Worker is not available in the hosted runtime");
  }
}
Object.defineProperty(globalThis, "Worker", { value: NoWorker });

type Handler = (request: Request, info: Deno.ServeHandlerInfo) => Response | Promise<Response>;

const serve = Deno.serve as (...args: unknown[]) => unknown;
let running = 0;
let begun = 0;

function measured(handler: Handler): Handler {
  return async (request, info) => {
    // The CPU belongs to the process: it says what a request cost only if no other ran meanwhile.
    const number = ++begun;
    const isAlone = running++ === 0;
    const before = process.cpuUsage();
    try {
      const answer = await handler(request, info);
      const { user, system } = process.cpuUsage(before);
      const response = new Response(answer.body, answer);
      if (isAlone && begun === number) response.headers.set("x-hosted-cpu-ms", ((user + system) / 1000).toFixed(1));
      response.headers.set("x-hosted-memory-mb", (Deno.memoryUsage().rss / 2 ** 20).toFixed(1));
      return response;
    } finally {
      running--;
    }
  };
}

// All forms of Deno.serve: (handler), (options, handler), ({ handler, …options }).
Object.defineProperty(Deno, "serve", {
  value: (...args: unknown[]) =>
    serve(...args.map((arg) => {
      if (typeof arg === "function") return measured(arg as Handler);
      const { handler } = arg as { handler?: Handler };
      return handler ? { ...arg as object, handler: measured(handler) } : arg;
    })),
});
