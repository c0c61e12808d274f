import { Buffer } from "node:buffer";
import http from "node:http";
import type { FuzzAnswer, FuzzRequest } from "./request.ts";

const agent = new http.Agent({ keepAlive: true, maxSockets: 16 });

/**
 * Sends a request as it is: neither path nor method nor headers are put right on the way, as fetch would. Null when it
 * cannot be written as HTTP at all.
 */
export function send(url: string, { method, path, headers, body }: FuzzRequest): Promise<FuzzAnswer | null> {
  const { hostname, port } = new URL(url);
  const bytes = body === null
    ? undefined
    : "text" in body
    ? new TextEncoder().encode(body.text)
    : Buffer.from(body.base64, "base64");
  return new Promise((resolve, reject) => {
    let request: http.ClientRequest;
    try {
      request = http.request({
        agent,
        hostname,
        port,
        method,
        path,
        headers: { ...headers, ...(bytes === undefined ? {} : { "content-length": String(bytes.byteLength) }) },
      });
    } catch {
      return resolve(null);
    }
    request.on("response", (response) => {
      const chunks: Uint8Array[] = [];
      response.on("data", (chunk: Uint8Array) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const given = Object.entries(response.headers).map(([name, value]) => [name, String(value)]);
        const text = new TextDecoder().decode(Buffer.concat(chunks));
        resolve({ status: response.statusCode ?? 0, headers: Object.fromEntries(given), text });
      });
    });
    request.on("error", reject);
    request.end(bytes);
  });
}
