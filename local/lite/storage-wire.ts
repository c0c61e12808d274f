import { Buffer } from "node:buffer";

// Where lite's Storage answers or asks for other things than the platform's, which supabase-js speaks to.

const prefix = "/storage/v1";

/** An upload as the bytes alone: supabase-js wraps a Blob into a form, in a field that lite does not look for. */
export async function storageRequest(request: Request): Promise<Request> {
  const type = request.headers.get("content-type") ?? "";
  if (!type.startsWith("multipart/form-data")) return request;
  if (!new URL(request.url).pathname.startsWith(`${prefix}/object/`)) return request;
  const form = await readForm(Buffer.from(await request.arrayBuffer()), type);
  const file = [...form.values()].find((value) => value instanceof File);
  const cacheControl = form.get("cacheControl");
  const headers = new Headers(request.headers);
  headers.set("content-type", file?.type || "application/octet-stream");
  headers.set("content-length", String(file?.size ?? 0));
  if (typeof cacheControl === "string") headers.set("cache-control", `max-age=${cacheControl}`);
  return new Request(request.url, { method: request.method, headers, body: file ? await file.bytes() : null });
}

// The field's name is empty, and Deno leaves such a field out.
function readForm(body: Buffer<ArrayBuffer>, type: string): Promise<FormData> {
  const at = body.indexOf('name=""');
  const named = at < 0
    ? body
    : Buffer.concat([body.subarray(0, at), Buffer.from('name="file"'), body.subarray(at + 'name=""'.length)]);
  return new Response(named, { headers: { "content-type": type } }).formData();
}

/** Adds the fields that supabase-js reads from the answers about signed URLs. */
export async function storageAnswer(request: Request, answer: Response): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (request.method !== "POST" || !answer.ok) return answer;
  if (pathname.startsWith(`${prefix}/object/upload/sign/`)) {
    return await rewrite(answer, (body) => ({ ...body, url: withoutPrefix(body.signedUrl) }));
  }
  if (pathname.startsWith(`${prefix}/object/sign/`)) {
    return await rewrite(answer, (body) => ({ ...body, signedURL: withoutPrefix(body.signedUrl) }));
  }
  return answer;
}

type Signed = { signedUrl?: unknown };

async function rewrite(answer: Response, change: (body: Signed) => Signed): Promise<Response> {
  const body: Signed | Signed[] = await answer.json();
  const headers = new Headers(answer.headers);
  headers.delete("content-length");
  return Response.json(Array.isArray(body) ? body.map(change) : change(body), { status: answer.status, headers });
}

function withoutPrefix(url: unknown): string | null {
  return typeof url === "string" && url !== "" ? url.replace(prefix, "") : null;
}
