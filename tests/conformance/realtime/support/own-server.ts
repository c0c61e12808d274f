import { createRealtime, type Realtime, type RealtimeOptions } from "../../../../local/realtime/server.ts";
import { stack } from "./stack.ts";

/** The database's superuser, for tests that start, cut or starve a Realtime server of their own. */
export const adminDbUrl = Deno.env.get("MUSTER_TEST_ADMIN_DB_URL");
/** Such tests are for a local stack only. */
export const ignore = !adminDbUrl;

/** A server beside the stack's own, over the same database. */
export async function startRealtime(
  options: Partial<RealtimeOptions> = {},
): Promise<{ realtime: Realtime; url: string } & AsyncDisposable> {
  const realtime = createRealtime({ dbUrl: adminDbUrl ?? "", jwtSecret: stack.jwtSecret, ...options });
  await realtime.start();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const url = new URL(request.url);
    url.pathname = url.pathname.replace("/realtime/v1/api", "/api").replace("/realtime/v1", "/socket");
    const { method, headers, body } = request;
    return realtime.fetch(new Request(url, { method, headers, body }), request);
  });
  return {
    realtime,
    url: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose]() {
      await realtime.stop();
      await server.shutdown();
    },
  };
}
