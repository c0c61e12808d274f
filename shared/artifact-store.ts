import type { SupabaseClient } from "@supabase/supabase-js";
import { artifactBucket } from "./contracts/artifacts.ts";
import { type MusterError, musterError } from "./errors.ts";
import type { Platform } from "./platform.ts";

/** The bytes of artifacts. Nobody else touches Storage. */
export interface ArtifactStore {
  /** A URL that takes the bytes once: what lies at the path already is never replaced. */
  uploadUrl(path: string): Promise<{ url: string; expiresAt: string }>;
  downloadUrl(path: string, fileName: string): Promise<{ url: string; expiresAt: string }>;
  /** The bytes, or null while there are none. */
  read(path: string): Promise<ReadableStream<Uint8Array> | null>;
  remove(path: string): Promise<void>;
  /** Throws unless the bucket can be reached. */
  check(): Promise<void>;
}

/** Fixed by Storage. */
const uploadSeconds = 2 * 3600;
const downloadSeconds = 300;

export function createArtifactStore(
  service: SupabaseClient,
  { url, publicUrl }: Pick<Platform, "url" | "publicUrl">,
  { now = Date.now }: { readonly now?: () => number } = {},
): ArtifactStore {
  const bucket = service.storage.from(artifactBucket);
  const expiry = (seconds: number): string => new Date(now() + seconds * 1000).toISOString();
  const seenFromOutside = (signed: string): string =>
    signed.startsWith(`${url}/`) ? publicUrl + signed.slice(url.length) : signed;

  return {
    async uploadUrl(path) {
      const expiresAt = expiry(uploadSeconds);
      const { data, error } = await bucket.createSignedUploadUrl(path);
      if (error !== null) throw failed("sign an upload URL", error);
      return { url: seenFromOutside(data.signedUrl), expiresAt };
    },
    async downloadUrl(path, fileName) {
      const expiresAt = expiry(downloadSeconds);
      const { data, error } = await bucket.createSignedUrl(path, downloadSeconds, { download: fileName });
      if (error !== null) throw failed("sign a download URL", error);
      return { url: seenFromOutside(data.signedUrl), expiresAt };
    },
    async read(path) {
      const { data, error } = await bucket.download(path).asStream();
      if (error === null) return data;
      if (isMissing(error)) return null;
      throw failed("read the artifact", error);
    },
    async remove(path) {
      const { error } = await bucket.remove([path]);
      if (error !== null) throw failed("remove the artifact", error);
    },
    async check() {
      const { error } = await service.storage.getBucket(artifactBucket);
      if (error !== null) throw failed("find the bucket", error);
    },
  };
}

interface StorageFailure {
  readonly message: string;
  readonly status?: number | undefined;
  readonly statusCode?: string | undefined;
}

// Storage answers 400 to almost everything and says in the body what it means: `{"statusCode":"404","code":"NoSuchKey",
// "error":"not_found","message":"Object not found"}`. A bucket that is missing is a 404, too, and no missing artifact.
function isMissing({ message, status, statusCode }: StorageFailure): boolean {
  return (status === 404 || statusCode === "404") && message === "Object not found";
}

function failed(action: string, cause: StorageFailure): MusterError {
  return musterError("unavailable", `Cannot ${action}: Storage does not answer as expected`, { cause });
}
