import { stack } from "./stack.ts";

export interface PostOptions {
  url?: string;
  token?: string | null;
  /** Of the body; null sends none. */
  type?: string | null;
  headers?: Record<string, string>;
}

/** Posts to the broadcast endpoint; `path` is what follows it. */
export async function post(path: string, body: BodyInit, options: PostOptions = {}): Promise<Response> {
  const { url = stack.url, token = stack.publishableKey, type = "application/json" } = options;
  const bytes = typeof body === "string" ? new TextEncoder().encode(body) : body;
  return await fetch(`${url.replace(/\/$/, "")}/realtime/v1/api/broadcast${path}`, {
    method: "POST",
    // Bytes, so that no content type is added where none is wanted.
    body: bytes,
    headers: {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(type !== null && { "content-type": type }),
      ...options.headers,
    },
  });
}

export function postBatch(messages: unknown, options: PostOptions = {}): Promise<Response> {
  return post("", JSON.stringify({ messages }), options);
}

/** The status and the body, as JSON where it is that. */
export async function answer(response: Response): Promise<[number, unknown]> {
  const text = await response.text();
  const isJson = response.headers.get("content-type")?.includes("json") ?? false;
  return [response.status, isJson ? JSON.parse(text) : text];
}
