import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { startFunctions } from "../../local/functions.ts";
import { type Ask, asker, createScene, holdJob, type Scene } from "./support/secret-scene.ts";

Deno.test("a master key is rotated while secrets are set and opened, in pieces, and the old one can go", async () => {
  const lines: string[] = [];
  const log = (line: string) => lines.push(line);
  await using scene = await createScene(log);
  {
    await using old = await functionsWith(scene, log, "old");
    const all = Array.from({ length: 103 }, (_, index) => `S${index}`);
    for (let from = 0; from < all.length; from += 20) {
      const some = all.slice(from, from + 20);
      const answers = await Promise.all(
        some.map((name) => old.ask("/secrets", { name, value: `${name} planted`, allowedTypes: ["*"] })),
      );
      for (const { status, body, text } of answers) assert.deepEqual([status, body.keyId], [200, "old"], text);
    }
  }
  {
    // Without the old key nothing is opened, and nothing is lost.
    await using without = await functionsWith(scene, log, "new");
    const refused = await (await holdJob(scene, ["S0"])).open(without.ask);
    assert.deepEqual([refused.status, refused.body.code], [503, "unavailable"]);
    const { body } = await without.ask("/secrets/rotate-master-key", {});
    assert.deepEqual([body.rotatedCount, body.unreadableCount, body.leftCount], [0, 100, 103]);
    assert.ok(lines.some((line) => line.includes("secret.unreadable") && line.includes("is missing")));
    assert.ok(!lines.some((line) => line.includes("planted")));
  }
  {
    await using both = await functionsWith(scene, log, "new", "old");
    const job = await holdJob(scene, ["S0", "S2"]);
    const [first, changed, opened] = await Promise.all([
      both.ask("/secrets/rotate-master-key", {}),
      both.ask("/secrets", { name: "S1", value: "S1 changed" }),
      job.open(both.ask),
    ]);
    assert.equal(changed.status, 200, changed.text);
    assert.deepEqual(opened.values, { S0: "S0 planted", S2: "S2 planted" });
    assert.ok(first.body.rotatedCount >= 99 && first.body.leftCount >= 2 && first.body.next !== null, first.text);
    // Cut off here, it is begun again from the start.
    const second = await both.ask("/secrets/rotate-master-key", {});
    assert.deepEqual([second.body.leftCount, second.body.unreadableCount, second.body.next], [0, 0, null], second.text);
  }
  await using alone = await functionsWith(scene, log, "new");
  const opened = await (await holdJob(scene, ["S0", "S1", "S102"])).open(alone.ask);
  assert.deepEqual(opened.values, { S0: "S0 planted", S1: "S1 changed", S102: "S102 planted" });
  const listed = await alone.ask("/secrets?limit=200");
  assert.equal(listed.body.secrets.length, 103);
  assert.ok(listed.body.secrets.every(({ keyId }: { keyId: string }) => keyId === "new"));
});

/** The functions once more, beside the stack's own and with other master keys, the current one first. */
async function functionsWith(
  scene: Scene,
  log: (line: string) => void,
  ...ids: string[]
): Promise<AsyncDisposable & { ask: Ask }> {
  const masterKeys = Object.fromEntries(ids.map((id) => [id, createHash("sha256").update(id).digest("base64url")]));
  let port: number | undefined;
  const { url, dbUrl } = scene.stack;
  const functions = await startFunctions({
    ...{
      dir: resolve(import.meta.dirname!, "../../functions"),
      url,
      dbUrl,
      signing: "HS256",
      keys: { ...scene.stack, masterKeys },
    },
    ...{ log: (_: string, line: string) => log(line), onPort: (given: number | undefined) => port = given },
  });
  return {
    ask: asker(scene, { functionsUrl: `http://127.0.0.1:${port}` }),
    [Symbol.asyncDispose]: () => functions.stop(),
  };
}
