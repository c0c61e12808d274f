import { createHash } from "node:crypto";
import { dirname, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

// The part of lite's storage adapter that its service calls; the package does not export the type.
type Stored = {
  cacheControl: string;
  contentLength: number;
  size: number;
  mimetype: string;
  lastModified: Date;
  eTag: string;
};
type About = Pick<Stored, "mimetype" | "cacheControl" | "eTag">;
type Read = {
  httpStatusCode: number;
  metadata: Stored & { contentRange?: string };
  body?: ReadableStream<Uint8Array>;
};
type Conditions = { ifNoneMatch?: string; ifModifiedSince?: string; range?: string };

/**
 * Keeps objects of Storage as files, read and written as streams, so that a large artifact takes no memory. A file is
 * named by a hash of the object's key: keys may be longer than file names, or differ only in case, or contain each
 * other. What was said about the object stands beside it.
 */
export class FileStorage {
  readonly driver = null;
  readonly #root: string;

  constructor(root: string) {
    this.#root = resolve(root);
  }

  async getObject(bucket: string, key: string, _version?: string, when: Conditions = {}): Promise<Read> {
    const metadata = await this.headObject(bucket, key);
    if (when.ifNoneMatch === metadata.eTag) return { httpStatusCode: 304, metadata };
    const file = await Deno.open(this.#path(bucket, key));
    return { httpStatusCode: 200, metadata, body: file.readable };
  }

  async uploadObject(
    bucket: string,
    key: string,
    _version: string | undefined,
    body: ReadableStream<Uint8Array> | Uint8Array,
    mimetype: string,
    cacheControl: string,
  ): Promise<Stored> {
    const path = this.#path(bucket, key);
    await Deno.mkdir(dirname(path), { recursive: true });
    // Written beside its place and then moved: a reader never sees half a file, a broken upload leaves the old one.
    const partial = `${path}.${crypto.randomUUID()}.partial`;
    const digest = createHash("md5");
    try {
      using file = await Deno.open(partial, { write: true, createNew: true });
      for await (const chunk of body instanceof Uint8Array ? [body] : body) {
        digest.update(chunk);
        for (let written = 0; written < chunk.length;) written += await file.write(chunk.subarray(written));
      }
    } catch (error) {
      await Deno.remove(partial).catch(() => {});
      throw error;
    }
    const about: About = { mimetype, cacheControl, eTag: `"${digest.digest("hex")}"` };
    await Deno.writeTextFile(`${path}.json`, JSON.stringify(about));
    await Deno.rename(partial, path);
    return await this.headObject(bucket, key);
  }

  async deleteObject(bucket: string, key: string): Promise<void> {
    for (const path of [this.#path(bucket, key), `${this.#path(bucket, key)}.json`]) {
      await Deno.remove(path).catch((error) => {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      });
    }
  }

  async deleteObjects(bucket: string, keys: string[]): Promise<void> {
    for (const key of keys) await this.deleteObject(bucket, key);
  }

  async copyObject(
    bucket: string,
    key: string,
    _version: string | undefined,
    toBucket: string,
    toKey: string,
  ): Promise<{ httpStatusCode: number; eTag: string; lastModified: Date }> {
    const [source, target] = [this.#path(bucket, key), this.#path(toBucket, toKey)];
    await Deno.mkdir(dirname(target), { recursive: true });
    await Deno.copyFile(source, target);
    await Deno.copyFile(`${source}.json`, `${target}.json`);
    const { eTag, lastModified } = await this.headObject(toBucket, toKey);
    return { httpStatusCode: 200, eTag, lastModified };
  }

  async headObject(bucket: string, key: string): Promise<Stored> {
    const path = this.#path(bucket, key);
    const about: About = JSON.parse(await Deno.readTextFile(`${path}.json`));
    const { size, mtime } = await Deno.stat(path);
    return { ...about, contentLength: size, size, lastModified: mtime ?? new Date(0) };
  }

  privateAssetUrl(bucket: string, key: string): Promise<string> {
    return Promise.resolve(pathToFileURL(this.#path(bucket, key)).href);
  }

  #path(bucket: string, key: string): string {
    const hash = createHash("sha256").update(JSON.stringify([bucket, key])).digest("hex");
    return join(this.#root, hash.slice(0, 2), hash);
  }
}
