import assert from "node:assert/strict";
import { UsageError } from "../../shared/usage-error.ts";
import { parseCommand } from "../command.ts";
import { makeMasterKey } from "./secret.ts";

Deno.test("a slip in a secret command is explained, without what may be a value", () => {
  const value = "sk-planted";
  for (const line of [`set KEY ${value}`, `set ${value}`, `delete ${value}`, `list ${value}`, "set"]) {
    assert.throws(() => parseCommand(["secret", ...line.split(" ")]), (error: Error) => {
      assert.ok(error instanceof UsageError);
      assert.ok(!`${error.message} ${error.advice}`.includes(value), error.message);
      return true;
    });
  }
  assert.throws(() => parseCommand(["secret", "set", "KEY", "--type", "a*b"]), /mail\.\*/);
  assert.throws(() => parseCommand(["secret", "set", "KEY", "--value", "x"]), /--value/);
  assert.equal(parseCommand(["secret", "set", "KEY", "--help"]).kind, "help");
});

Deno.test("a master key is 32 random bytes under an id that JSON keeps in its place", () => {
  const now = Date.UTC(2026, 0, 2);
  const [one, two] = [makeMasterKey(now), makeMasterKey(now)];
  const [[id, key]] = Object.entries(one.record["masterKeys"] as Record<string, string>) as [[string, string]];
  assert.match(id, /^k20260102-[\w-]{4}$/);
  assert.match(key, /^[\w-]{43}$/);
  assert.notDeepEqual(one.record, two.record);
});
