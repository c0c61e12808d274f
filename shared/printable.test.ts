import assert from "node:assert/strict";
import { printable, printableLine } from "./printable.ts";

Deno.test("printable() leaves out every control character but line ends and tabs", () => {
  for (let code = 0; code <= 0x9f; code++) {
    const isControl = code < 0x20 || code >= 0x7f;
    const character = String.fromCharCode(code);
    const kept = !isControl || character === "\n" || character === "\t" ? character : "";
    assert.equal(printable(`a${character}b`), `a${kept}b`, `U+${code.toString(16)}`);
  }
  assert.equal(
    printable("\x1b[31mred\x1b[0m \x9b2J\x1b]0;title\x07 Zürich 東京 👩‍💻\r\n"),
    "[31mred[0m 2J]0;title Zürich 東京 👩‍💻\n",
  );
});

Deno.test("printableLine() keeps text on one line", () => {
  assert.equal(printableLine("one\r\ntwo\nthree\tfour\x1b[1A\rfive"), "one two three four[1Afive");
});
