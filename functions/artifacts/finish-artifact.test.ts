import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import type { ArtifactStore } from "../../shared/artifact-store.ts";
import type { Caller } from "../../shared/auth/caller.ts";
import type { Artifact } from "../../shared/contracts/artifacts.ts";
import type { ArtifactsDb } from "../../shared/db/artifacts.ts";
import { ArtifactMismatchError, ConflictError, musterError } from "../../shared/errors.ts";
import { finishArtifact } from "./finish-artifact.ts";

const caller: Caller = { kind: "api_key", hash: "hash" };
const chunk = new Uint8Array(64 * 1024).fill(7);

/**
 * An artifact of `declaredChunks` chunks of which `storedChunks` were uploaded, and what is done with it. `meanwhile`
 * is what another call makes of it while its bytes are read.
 */
function setting(
  declaredChunks: number,
  storedChunks: number | null,
  byte = 7,
  meanwhile: "ready" | "rejected" | null = null,
) {
  const hash = createHash("sha256");
  for (let n = 0; n < declaredChunks; n++) hash.update(chunk);
  const artifact = {
    id: "1",
    path: "p",
    status: "pending",
    sizeBytes: declaredChunks * chunk.byteLength,
    sha256: hash.digest("hex"),
  } as Artifact;
  const done: string[] = [];
  let pulled = 0;
  let looks = 0;
  const db = {
    authorizeArtifactFinish() {
      const status = looks++ === 0 ? "pending" : meanwhile;
      if (status === "rejected") return Promise.reject(musterError("conflict", "It was rejected"));
      return Promise.resolve({ ...artifact, status });
    },
    finishArtifact: () => Promise.resolve({ ...artifact, status: done.push("finish") && "ready" }),
    rejectArtifact() {
      if (meanwhile !== null) return Promise.resolve(null);
      return Promise.resolve({ ...artifact, status: done.push("reject") && "rejected" });
    },
  } as unknown as ArtifactsDb;
  const store = {
    read: () =>
      Promise.resolve(
        storedChunks === null ? null : new ReadableStream<Uint8Array>({
          pull(controller) {
            if (pulled++ >= storedChunks) controller.close();
            else controller.enqueue(new Uint8Array(chunk.byteLength).fill(byte));
          },
        }),
      ),
    remove: () => Promise.resolve(void done.push("remove")),
  } as unknown as ArtifactStore;
  return { run: () => finishArtifact(db, store, caller, "1"), done, pulled: () => pulled };
}

Deno.test("finishArtifact() makes an artifact ready when its bytes are those declared", async () => {
  const { run, done } = setting(10, 10);
  assert.equal((await run()).status, "ready");
  assert.deepEqual(done, ["finish"]);
});

Deno.test("finishArtifact() rejects other bytes and removes them", async () => {
  for (const [declared, stored, byte] of [[10, 9, 7], [10, 10, 8], [0, 1, 7], [1, 0, 7]] as const) {
    const { run, done } = setting(declared, stored, byte);
    await assert.rejects(run(), ArtifactMismatchError);
    assert.deepEqual(done, ["reject", "remove"]);
  }
});

Deno.test("finishArtifact() leaves the bytes alone when another call decided while it read, and answers what that did", async () => {
  const ready = setting(10, 9, 7, "ready");
  assert.equal((await ready.run()).status, "ready");
  assert.deepEqual(ready.done, []);
  const rejected = setting(10, 9, 7, "rejected");
  await assert.rejects(rejected.run(), ConflictError);
  assert.deepEqual(rejected.done, []);
});

Deno.test("finishArtifact() stops reading once there are too many bytes", async () => {
  const { run, pulled } = setting(2, 100_000);
  await assert.rejects(run(), ArtifactMismatchError);
  assert.ok(pulled() < 10, `${pulled()} chunks were read`);
});

Deno.test("finishArtifact() asks for the bytes when there are none", async () => {
  const { run, done } = setting(2, null);
  await assert.rejects(run(), ConflictError);
  assert.deepEqual(done, []);
});
