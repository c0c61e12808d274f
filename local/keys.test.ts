import assert from "node:assert/strict";
import { join } from "node:path";
import { localKeys } from "./keys.ts";
import { silent } from "./log.ts";
import { startPostgres } from "./postgres.ts";
import { forgetData } from "./stack.ts";

Deno.test("localKeys() makes keys of a folder's own, which its owner alone can read, and finds them again", async () => {
  const [one, other] = [await folder(), await folder()];
  const first = await localKeys(one.path);
  assert.deepEqual(await localKeys(one.path), first);
  const second = await localKeys(other.path);
  for (const name of Object.keys(first) as (keyof typeof first)[]) assert.notEqual(first[name], second[name], name);
  assert.match(first.publishableKey, /^sb_publishable_[\w-]{32}$/);
  assert.match(first.secretKey, /^sb_secret_[\w-]{32}$/);
  if (Deno.build.os !== "windows") {
    assert.equal((await Deno.stat(join(one.path, "keys.json"))).mode! & 0o777, 0o600);
  }
  await Promise.all([one.remove(), other.remove()]);
});

Deno.test("localKeys() makes no keys for a database that has others", async () => {
  const data = await folder();
  const database = await startPostgres({ dataDir: data.path, port: 0, log: silent });
  await database.stop();
  await Deno.remove(join(data.path, "keys.json"));
  await assert.rejects(localKeys(data.path), /^Error: Cannot use the data in .*keys\.json.* is missing.*--reset/);
  await forgetData(data.path);
});

async function folder(): Promise<{ path: string; remove(): Promise<void> }> {
  const path = await Deno.makeTempDir({ prefix: "muster-keys-" });
  return { path, remove: () => Deno.remove(path, { recursive: true }) };
}
