import { createHash } from "node:crypto";
import type { ArtifactStore } from "../../shared/artifact-store.ts";
import type { Caller } from "../../shared/auth/caller.ts";
import type { Artifact } from "../../shared/contracts/artifacts.ts";
import type { ArtifactsDb } from "../../shared/db/artifacts.ts";
import { musterError } from "../../shared/errors.ts";

/** Reads the uploaded bytes and makes the artifact ready when they are those declared; otherwise they are removed. */
export async function finishArtifact(
  db: ArtifactsDb,
  store: ArtifactStore,
  caller: Caller,
  artifactId: string,
): Promise<Artifact> {
  const artifact = await db.authorizeArtifactFinish(caller, artifactId);
  if (artifact.status === "ready") return artifact;
  const bytes = await store.read(artifact.path);
  if (bytes === null) {
    throw musterError("conflict", `Cannot finish artifact "${artifact.id}": nothing was uploaded yet`, {
      advice: "Send the bytes to the upload URL first",
    });
  }
  const { sizeBytes, sha256 } = await digest(bytes, artifact.sizeBytes);
  const mismatch = sizeBytes !== artifact.sizeBytes
    ? `${artifact.sizeBytes} bytes were declared, ${sizeBytes > artifact.sizeBytes ? "more" : sizeBytes} were uploaded`
    : sha256 !== artifact.sha256
    ? `sha256 ${artifact.sha256} was declared, the uploaded bytes have ${sha256}`
    : null;
  if (mismatch === null) return await db.finishArtifact(artifact.id, sizeBytes, sha256);
  // Rejected first: should removing fail, unreferenced bytes remain, never an artifact that waits for them.
  const rejected = await db.rejectArtifact(artifact.id, mismatch);
  // Another call was faster: the bytes are those of what it decided, so they stay, and its outcome is the answer.
  if (rejected === null) return await db.authorizeArtifactFinish(caller, artifactId);
  await store.remove(artifact.path);
  throw musterError("artifact_mismatch", `Cannot finish artifact "${artifact.id}": ${mismatch}`);
}

/**
 * Counts and hashes a stream chunk by chunk, so that memory does not grow with the artifact; beyond `stopAfterBytes`
 * the answer is known and the rest stays unread. Web Crypto has no such hash, hence node:crypto.
 */
async function digest(
  bytes: ReadableStream<Uint8Array>,
  stopAfterBytes: number,
): Promise<{ sizeBytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let sizeBytes = 0;
  for await (const chunk of bytes) {
    sizeBytes += chunk.byteLength;
    if (sizeBytes > stopAfterBytes) break;
    hash.update(chunk);
  }
  return { sizeBytes, sha256: hash.digest("hex") };
}
