import type { Buffer } from "node:buffer";
import http from "node:http";
import net from "node:net";
import type { Duplex } from "node:stream";
import type { Route } from "./route.ts";

/**
 * Joins a websocket's connection to one to its part: the head is rewritten, what follows passes untouched both ways, and
 * so do the part's refusal, its frames, its closing code and its sudden end.
 */
export function upgrade(request: http.IncomingMessage, client: Duplex, head: Buffer, route: Route): void {
  client.on("error", () => client.destroy());
  if ("refusal" in route) {
    const { status, ...body } = route.refusal;
    return refuse(client, status, body, route.cors);
  }
  const isWebSocket = request.headers.upgrade?.toLowerCase() === "websocket";
  // Another protocol is not offered: the request is answered as if none had been asked for.
  if (!isWebSocket) route.headers.delete("upgrade");
  // Refused, the connection must end: a second request on it would reach the part as it is.
  route.headers.set("connection", isWebSocket ? "Upgrade, close" : "close");

  const part = net.connect({ host: "127.0.0.1", port: route.port, noDelay: true }, () => {
    const lines = [...route.headers].map(([name, value]) => `${name}: ${value}\r\n`);
    part.write(`${request.method} ${route.path} HTTP/1.1\r\n${lines.join("")}\r\n`, "latin1");
    part.write(head);
    client.pipe(part).pipe(client);
  });
  let connected = false;
  part.once("connect", () => connected = true);
  part.on("error", (error) => {
    if (connected) client.destroy();
    else refuse(client, 502, { message: `Cannot reach the service: ${error.message}` }, route.cors);
  });
  // What the part said last is still delivered.
  part.on("close", () => connected && (client as net.Socket).destroySoon());
  client.on("close", () => part.destroy());
}

function refuse(client: Duplex, status: number, body: object, cors: boolean): void {
  const text = JSON.stringify(body);
  const lines = [
    `HTTP/1.1 ${status} ${http.STATUS_CODES[status]}`,
    "content-type: application/json",
    `content-length: ${new TextEncoder().encode(text).length}`,
    ...(cors ? ["access-control-allow-origin: *"] : []),
    "connection: close",
  ];
  client.end(`${lines.join("\r\n")}\r\n\r\n${text}`);
}
