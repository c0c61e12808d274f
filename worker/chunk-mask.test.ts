import assert from "node:assert/strict";
import { ChunkMask } from "./chunk-mask.ts";
import { Mask } from "./mask.ts";

const secret = "sk-live-4f9a";

function stream(chunks: readonly unknown[], values = [secret]): unknown[] {
  const mask = new ChunkMask(new Mask(values));
  return [...chunks.flatMap((chunk) => mask.push(chunk)), ...mask.end()];
}

Deno.test("ChunkMask takes a secret out however it is cut", () => {
  const text = `the key is ${secret}, and ${secret}${secret} again`;
  for (let size = 1; size <= text.length; size += 1) {
    const pieces = text.match(new RegExp(`.{1,${size}}`, "g"))!;
    const texts = stream(pieces);
    assert.equal(texts.join(""), "the key is ***, and ****** again", `pieces of ${size}`);
    assert.equal(texts.length, pieces.length);
    const deltas = stream(pieces.map((delta, index) => ({ index, delta }))) as { index: number; delta: string }[];
    assert.equal(deltas.map(({ delta }) => delta).join(""), "the key is ***, and ****** again", `deltas of ${size}`);
    assert.deepEqual(deltas.map(({ index }) => index), pieces.map((_, index) => index));
  }
});

Deno.test("ChunkMask lets go at once what cannot become a secret, and holds back what may", () => {
  const mask = new ChunkMask(new Mask([secret]));
  assert.deepEqual(mask.push("hello"), ["hello"]);
  assert.deepEqual(mask.push({ done: 1 }), [{ done: 1 }]);
  assert.deepEqual(mask.push("ends in sk-l"), []);
  assert.deepEqual(mask.push("ong"), ["ends in sk-l", "ong"]);
  assert.deepEqual(mask.push("s"), []);
  assert.deepEqual(mask.end(), ["s"]);
});

Deno.test("ChunkMask waits where one secret is the beginning of another", () => {
  assert.deepEqual(stream(["abcdef", "ghijkl", "!"], ["abcdef", "abcdefghijkl"]), ["***", "", "!"]);
  assert.deepEqual(stream(["abcdef", "gh no"], ["abcdef", "abcdefghijkl"]), ["***", "gh no"]);
});

Deno.test("ChunkMask reads each place of the chunks on its own, with others in between", () => {
  const chunks = [{ out: "sk-li", err: "ve-4f9a" }, { tick: 1 }, { out: "ve-4f9a", err: "x" }];
  assert.deepEqual(stream(chunks), [{ out: "***", err: "ve-4f9a" }, { tick: 1 }, { out: "", err: "x" }]);
});

Deno.test("ChunkMask does not wait for ever", () => {
  const mask = new ChunkMask(new Mask([secret]));
  assert.deepEqual(mask.push("sk-"), []);
  let freed: unknown[] = [];
  for (let count = 0; freed.length === 0; count += 1) {
    assert.ok(count < 1_000);
    freed = mask.push({ count });
  }
  assert.equal(freed[0], "sk-");
});

Deno.test("ChunkMask without a secret lets everything pass as it is", () => {
  const chunk = { a: ["b"] };
  assert.equal(new ChunkMask(new Mask([])).push(chunk)[0], chunk);
});

Deno.test("ChunkMask keeps a secret of one place whole while another place waits", () => {
  const chunks = [{ a: "sk-live" }, { a: "-4f9a", b: "sk-" }, { a: ".", b: "no" }];
  assert.deepEqual(stream(chunks), [{ a: "***" }, { a: "", b: "sk-" }, { a: ".", b: "no" }]);
});
