import {
  createRealtime,
  type Realtime,
  type RealtimeLimits,
  type RealtimeOptions,
} from "../../../../local/realtime/server.ts";
import { RawSocket } from "./raw-socket.ts";
import { signToken, stack, type TokenOptions } from "./stack.ts";

/** The database's superuser, for tests that start, cut or starve a Realtime server of their own. */
export const adminDbUrl = Deno.env.get("MUSTER_TEST_ADMIN_DB_URL");
/** Such tests are for a local stack only. */
export const ignore = !adminDbUrl;

export interface OwnServer extends AsyncDisposable {
  realtime: Realtime;
  url: string;
  /** A socket with a token of its own, V2 unless named otherwise. */
  open(options?: { vsn?: string; key?: string; headers?: Record<string, string> } & TokenOptions): Promise<RawSocket>;
}

/** A server beside the stack's own, over the same database; refusals come without their deliberate delay. */
export async function startRealtime(
  { limits, ...options }: Omit<Partial<RealtimeOptions>, "limits"> & { limits?: Partial<RealtimeLimits> } = {},
): Promise<OwnServer> {
  const realtime = createRealtime({
    dbUrl: adminDbUrl ?? "",
    jwtSecret: stack.jwtSecret,
    limits: { joinErrorDelayMs: 0, connectErrorDelayMs: 0, ...limits },
    ...options,
  });
  await realtime.start();
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const url = new URL(request.url);
    url.pathname = url.pathname.replace("/realtime/v1/api", "/api").replace("/realtime/v1", "/socket");
    const { method, headers, body } = request;
    return realtime.fetch(new Request(url, { method, headers, body }), request);
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  return {
    realtime,
    url,
    async open({ vsn = "2.0.0", key, headers, ...token } = {}) {
      return await RawSocket.open({ url, vsn, key: key ?? await signToken(token), ...(headers && { headers }) });
    },
    async [Symbol.asyncDispose]() {
      await realtime.stop();
      await server.shutdown();
    },
  };
}
