import http from "node:http";
import type { Route } from "./route.ts";

/** Headers that describe one hop and are not passed on. */
const ofRequest = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "upgrade",
  "host",
  "expect",
]);
const ofResponse = new Set(["connection", "keep-alive", "proxy-connection", "trailer", "upgrade", "transfer-encoding"]);

const openToAll = "access-control-allow-origin";

// Loopback connections cost little to keep and a millisecond to open.
const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 64 });

/** Passes a request to its part; bodies go through as streams, both ways. */
export function forward(request: http.IncomingMessage, response: http.ServerResponse, route: Route): void {
  if (route.cors) response.setHeader(openToAll, "*");
  if ("refusal" in route) {
    const { status, ...body } = route.refusal;
    return answer(request, response, status, body);
  }
  const headers = Object.fromEntries([...route.headers].filter(([name]) => !ofRequest.has(name)));
  // Compressing between two processes of one machine is work for nothing.
  headers["accept-encoding"] = "identity";
  const { port, path } = route;
  const outgoing = http.request({ host: "127.0.0.1", port, path, method: request.method, headers, agent });

  let answered = false;
  outgoing.on("response", (incoming) => {
    answered = true;
    for (const [name, value] of Object.entries(incoming.headers)) {
      if (value !== undefined && !ofResponse.has(name)) response.setHeader(name, value);
    }
    response.writeHead(incoming.statusCode!, incoming.statusMessage);
    // Told at once: an event stream may say nothing for long.
    response.flushHeaders();
    incoming.pipe(response);
    // A part that dies in the middle of its answer breaks it off: an end would make half of it look whole.
    incoming.on("error", () => response.destroy());
    incoming.on("aborted", () => response.destroy());
  });
  outgoing.on("error", (error) => {
    // A part may answer before it has read the whole body, and close; its answer stands.
    if (answered || response.destroyed) return drain(request);
    const message = `An invalid response was received from the upstream server: ${error.message}`;
    answer(request, response, 502, { message });
  });
  response.on("close", () => {
    // A client that goes away ends the request behind the gateway too; so does an answer that did not need the body.
    if (!response.writableFinished || !request.complete) outgoing.destroy();
    drain(request);
  });
  request.pipe(outgoing);
}

/** Answers a browser's question whether it may call. */
export function preflight(request: http.IncomingMessage, response: http.ServerResponse): void {
  response.writeHead(200, {
    [openToAll]: "*",
    "access-control-allow-methods": "GET,HEAD,PUT,PATCH,POST,DELETE,OPTIONS,TRACE,CONNECT",
    "access-control-allow-headers": request.headers["access-control-request-headers"] ?? "*",
    "access-control-max-age": "3600",
  });
  response.end();
}

function answer(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  status: number,
  body: object,
): void {
  drain(request);
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify(body));
}

// What is left of a body is read away: the next request of the connection comes after it.
function drain(request: http.IncomingMessage): void {
  request.unpipe();
  request.resume();
}
