import assert from "node:assert/strict";
import { Mask } from "./mask.ts";

const shapes: Record<string, string> = {
  "a plain word": "sk-live-4f9a",
  "two lines": "first line of it\nsecond line of it\n",
  "letters of many scripts": "пароль-密码-🔑-é",
  "quotes and backslashes": `say "it\\'s" \\n`,
  "signs of regular expressions": "a.*(b|c)+[d]{2}^$?",
  "base64": "QUJDREVGR0g9PT0rKy8v",
  "signs of URLs": "a b&c=d/e?f#g%20+h",
  "blanks around it": "  padded value  ",
};

const base64 = (text: string) => {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes));
};
const hex = (text: string) =>
  Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, "0")).join("");

for (const [what, value] of Object.entries(shapes)) {
  Deno.test(`Mask finds ${what} as it is and as JSON, URL, base64 and hex have it`, () => {
    const mask = new Mask([value]);
    const written: Record<string, string> = {
      plain: `before ${value} after`,
      twice: value + value,
      trimmed: value.trim(),
      JSON: JSON.stringify({ key: value }),
      URL: `https://x.test/?q=${encodeURIComponent(value)}`,
      "URL in lower case": encodeURIComponent(value).replace(/%../g, (escaped) => escaped.toLowerCase()),
      form: new URLSearchParams({ q: value }).toString(),
      hex: `0x${hex(value)}`,
      "HEX": hex(value).toUpperCase(),
      base64: base64(value),
      "base64 of user and password": `Basic ${base64(`user:${value}`)}`,
      "base64 within more": base64(`ab${value}and so on`),
      base64url: base64(`x${value}`).replaceAll("+", "-").replaceAll("/", "_"),
    };
    for (const [how, text] of Object.entries(written)) {
      const masked = mask.text(text);
      assert.match(masked, /\*\*\*/, how);
      assert.equal(mask.text(masked), masked, how);
      // Nothing of four characters is left of it, but what the neighbours in base64 share.
      const core = value.trim().slice(2, -2);
      assert.ok(!masked.includes(core), `${how}: ${masked}`);
    }
  });
}

Deno.test("Mask leaves the rest of a text as it is", () => {
  const mask = new Mask(["sk-live-4f9a"]);
  assert.equal(mask.text("key=sk-live-4f9a, sk-live-4f9"), "key=***, sk-live-4f9");
  assert.equal(mask.text(""), "");
  assert.equal(new Mask([]).text("sk-live-4f9a"), "sk-live-4f9a");
});

Deno.test("Mask takes secrets that overlap, or hold each other, out as one", () => {
  const mask = new Mask(["abcdefgh", "efghijkl", "abcdefghij"]);
  assert.equal(mask.text("<abcdefghijkl>"), "<***>");
  assert.equal(mask.text("<abcdefgh>"), "<***>");
});

Deno.test("Mask reaches into JSON: names of fields, numbers and what is nested", () => {
  const mask = new Mask(["123456", "sk-live-4f9a"]);
  assert.deepEqual(mask.json({ a: ["x sk-live-4f9a", 123456, 12, true, null], "sk-live-4f9a": { b: "ok" } }), {
    a: ["x ***", "***", 12, true, null],
    "***": { b: "ok" },
  });
});

Deno.test("Mask knows where a text may end in the beginning of a secret", () => {
  const mask = new Mask(["abcdefgh"]);
  assert.equal(mask.openEnd("xx abc"), 3);
  assert.equal(mask.openEnd("xx abcd no"), 10);
  assert.equal(mask.openEnd("a"), 0);
  assert.equal(mask.openEnd(""), 0);
});
