/** Headers that describe one hop and are not passed on. */
const hopByHop = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
];

// Loopback connections cost little to keep and a millisecond to open.
const client = Deno.createHttpClient({ poolMaxIdlePerHost: 64, poolIdleTimeout: 60_000 });

/** Passes a request to a part on a loopback port; bodies go through as streams, both ways. */
export async function forward(
  request: Request,
  url: URL,
  port: number,
  headers: Headers | Response,
  completed: Promise<void>,
): Promise<Response> {
  if (headers instanceof Response) return headers;
  // A client that goes away ends the request behind the gateway too.
  const gone = new AbortController();
  completed.catch(() => gone.abort());
  const target = new URL(url);
  target.protocol = "http:";
  target.host = `127.0.0.1:${port}`;
  headers.set("x-forwarded-host", url.hostname);
  headers.set("x-forwarded-port", url.port);
  headers.set("x-forwarded-proto", url.protocol.slice(0, -1));
  // Compressing between two processes of one machine is work for nothing.
  headers.set("accept-encoding", "identity");
  for (const name of hopByHop) headers.delete(name);
  try {
    const answer = await fetch(target, {
      method: request.method,
      headers,
      body: request.body,
      redirect: "manual",
      signal: gone.signal,
      client,
    });
    const passed = new Headers(answer.headers);
    for (const name of hopByHop) passed.delete(name);
    return new Response(answer.body, { status: answer.status, statusText: answer.statusText, headers: passed });
  } catch (error) {
    if (gone.signal.aborted) return new Response(null, { status: 499 });
    await request.body?.cancel().catch(() => {});
    const message = `An invalid response was received from the upstream server: ${(error as Error).message}`;
    return Response.json({ message }, { status: 502 });
  }
}

/** The answer to a browser's question whether it may call. */
export function preflight(request: Request): Response {
  return new Response(null, {
    status: 200,
    headers: {
      "access-control-allow-origin": "*",
      "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT",
      "access-control-allow-headers": request.headers.get("access-control-request-headers") ?? "*",
      "access-control-max-age": "3600",
    },
  });
}

/** Lets a page of any origin read the answer. */
export function withCors(response: Response): Response {
  if (response.headers.has("access-control-allow-origin")) return response;
  response.headers.set("access-control-allow-origin", "*");
  return response;
}
