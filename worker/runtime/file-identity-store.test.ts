import assert from "node:assert/strict";
import { chmod, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { IdentityError } from "../identity.ts";
import { fileIdentityStore } from "./file-identity-store.ts";

Deno.test("fileIdentityStore() is one worker's at a time, and another's once it is released", async () => {
  const folder = await mkdtemp(join(tmpdir(), "muster-identity-"));
  const path = join(folder, "identity.json");
  const [first, second] = [fileIdentityStore(path), fileIdentityStore(path)];
  assert.equal(await first.load(), null);
  await first.save("{}");
  await assert.rejects(second.load(), IdentityError);
  await first.release?.();
  assert.equal(await second.load(), "{}");
  await assert.rejects(first.load(), IdentityError);
  await second.release?.();
  await rm(folder, { recursive: true });
});

Deno.test({
  name: "fileIdentityStore() writes a file of its owner's alone, whole, and refuses one that others can read",
  ignore: Deno.build.os === "windows",
  async fn() {
    const folder = await mkdtemp(join(tmpdir(), "muster-identity-"));
    const path = join(folder, "identity.json");
    const store = fileIdentityStore(path);
    await store.load();
    const mask = Deno.umask(0);
    try {
      await store.save("{}");
    } finally {
      Deno.umask(mask);
    }
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    // A file that others could read is replaced by one that they cannot, and nothing half-written is left beside it.
    await chmod(path, 0o644);
    await store.save('{"next": true}');
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.deepEqual((await readdir(folder)).sort(), ["identity.json", "identity.json.lock"]);
    for (const mode of [0o640, 0o604, 0o660]) {
      await chmod(path, mode);
      await assert.rejects(
        store.load(),
        (error: unknown) => error instanceof IdentityError && /other users/.test(error.message),
      );
    }
    await chmod(path, 0o600);
    assert.equal(await store.load(), '{"next": true}');
    await store.release?.();
    await rm(folder, { recursive: true });
  },
});
