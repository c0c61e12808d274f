import assert from "node:assert/strict";
import { readMasterKeys } from "./master-keys.ts";

const one = "A".repeat(43);
const two = `${"B".repeat(42)}A`;

Deno.test("the first of the master keys is the current one", () => {
  const { currentId, keys } = readMasterKeys({ MUSTER_MASTER_KEYS: JSON.stringify({ b: one, a: two }) });
  assert.equal(currentId, "b");
  assert.deepEqual([...keys.keys()], ["b", "a"]);
  assert.equal(keys.get("a")?.length, 32);
});

Deno.test("master keys that are not as they must be end the function at its start, and are not quoted", () => {
  const planted = "planted-key-material";
  const wrong = [
    undefined,
    "",
    planted,
    `{"a": "${planted}"`,
    `["${planted}"]`,
    `"${planted}"`,
    "null",
    "{}",
    JSON.stringify({ a: planted }),
    JSON.stringify({ a: { planted } }),
    JSON.stringify({ a: one + planted }),
    JSON.stringify({ a: one, "": one }),
    JSON.stringify({ [`${planted}!`]: one }),
  ];
  for (const text of wrong) {
    assert.throws(() => readMasterKeys({ MUSTER_MASTER_KEYS: text }), (error: Error) => {
      assert.match(error.message, /^Cannot start: .*MUSTER_MASTER_KEYS/);
      assert.ok(!error.message.includes(planted), error.message);
      return true;
    });
  }
});

Deno.test("a key id that begins with a digit is refused: JSON would move it to the front", () => {
  const text = JSON.stringify({ b: one, 1: two });
  assert.throws(() => readMasterKeys({ MUSTER_MASTER_KEYS: text }), /a letter first/);
});
