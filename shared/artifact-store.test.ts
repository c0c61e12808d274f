import assert from "node:assert/strict";
import { createArtifactStore } from "./artifact-store.ts";
import { createClients } from "./db/sql-call.ts";
import { UnavailableError } from "./errors.ts";

const platform = { url: "http://kong:8000", secretKey: "sb_secret_x", publishableKey: "sb_publishable_x" };

/** A store over a Storage that `answer` plays. */
function storeOver(publicUrl: string, answer: (request: Request) => Response) {
  const { service } = createClients(platform, {
    fetch: (input, init) => Promise.resolve(answer(new Request(input, init))),
  });
  return createArtifactStore(service, { url: platform.url, publicUrl }, { now: () => 0 });
}

Deno.test("presigned URLs are as seen from outside", async () => {
  const store = storeOver("https://muster.example", (request) =>
    Response.json(
      request.url.includes("/upload/sign/")
        ? { url: "/object/upload/sign/muster-artifacts/a/b?token=up" }
        : { signedURL: "/object/sign/muster-artifacts/a/b?token=down" },
    ));
  const upload = await store.uploadUrl("a/b");
  assert.ok(upload.url.startsWith("https://muster.example/storage/v1/object/upload/sign/"), upload.url);
  assert.equal(upload.expiresAt, "1970-01-01T02:00:00.000Z");
  const download = await store.downloadUrl("a/b", "report 1.json");
  assert.ok(download.url.startsWith("https://muster.example/storage/v1/object/sign/"), download.url);
  assert.equal(download.expiresAt, "1970-01-01T00:05:00.000Z");
});

Deno.test("a missing object is told from a Storage that fails", async () => {
  const answering = (body: object, status = 400) => storeOver(platform.url, () => Response.json(body, { status }));
  const missing = { statusCode: "404", code: "NoSuchKey", error: "not_found", message: "Object not found" };
  assert.equal(await answering(missing).read("a/b"), null);
  const failures = [
    { statusCode: "404", code: "NoSuchBucket", error: "Bucket not found", message: "Bucket not found" },
    { statusCode: "403", code: "AccessDenied", error: "Unauthorized", message: "jwt expired" },
    { statusCode: "400", code: "InvalidJWT", error: "InvalidJWT", message: "Invalid JWT" },
    {
      statusCode: "503",
      code: "DatabaseConnectionLimit",
      error: "DatabaseConnectionLimit",
      message: "try again later",
    },
  ];
  for (const failure of failures) await assert.rejects(answering(failure).read("a/b"), UnavailableError);
  await assert.rejects(answering({ message: "no Route matched with those values" }, 404).read("a/b"), UnavailableError);
  const failing = storeOver(platform.url, () => new Response("<html>", { status: 502 }));
  await assert.rejects(failing.read("a/b"), UnavailableError);
  await assert.rejects(failing.uploadUrl("a/b"), UnavailableError);
  await assert.rejects(failing.check(), UnavailableError);
});
