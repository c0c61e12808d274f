import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
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
