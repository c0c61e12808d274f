import assert from "node:assert/strict";
import { decodeProtectedHeader } from "jose";
import { UnavailableError } from "../../shared/errors.ts";
import { createVault } from "./vault.ts";

const label = { tenantId: "2f9f6e3c-6f0b-4d8e-9d9a-000000000001", name: "KEY", version: 3 };
const value = `line one\n"quoted" пароль 🔑`;
const bytes: Record<string, Uint8Array> = { one: new Uint8Array(32).fill(1), two: new Uint8Array(32).fill(2) };

/** The first is the current one. */
function vaultOf(...ids: string[]) {
  return createVault({ currentId: ids[0]!, keys: new Map(ids.map((id) => [id, bytes[id]!])) });
}

Deno.test("a vault decrypts what it encrypted, and never encrypts the same twice alike", async () => {
  const vault = vaultOf("one");
  const [first, second] = [await vault.encrypt(label, value), await vault.encrypt(label, value)];
  assert.notEqual(first, second);
  assert.match(first, /^[\w-]+\.\.[\w-]+\.[\w-]+\.[\w-]+$/);
  assert.equal(decodeProtectedHeader(first).kid, "one");
  for (const ciphertext of [first, second]) assert.equal(await vault.decrypt({ ...label, ciphertext }), value);
});

Deno.test("a vault reads what an older key encrypted, and encrypts with the current one", async () => {
  const ciphertext = await vaultOf("one").encrypt(label, value);
  const rotated = vaultOf("two", "one");
  assert.equal(await rotated.decrypt({ ...label, ciphertext }), value);
  assert.equal(decodeProtectedHeader(await rotated.encrypt(label, value)).kid, "two");
  await assert.rejects(vaultOf("two").decrypt({ ...label, ciphertext }), (error: Error) => {
    assert.ok(error instanceof UnavailableError && error.message.includes("KEY"));
    assert.match(String(error.cause), /master key "one" is missing/);
    return true;
  });
});

Deno.test("a ciphertext is of no use in another tenant's, secret's or version's place, nor when it was changed", async () => {
  const vault = vaultOf("one");
  const ciphertext = await vault.encrypt(label, value);
  for (const other of [{ tenantId: label.tenantId.replace(/1$/, "2") }, { name: "OTHER" }, { version: 4 }]) {
    await assert.rejects(vault.decrypt({ ...label, ...other, ciphertext }), UnavailableError);
  }
  const [header, , ...rest] = ciphertext.split(".");
  const forged = btoa(JSON.stringify({ ...decodeProtectedHeader(ciphertext), name: "OTHER" })).replace(/=+$/, "");
  const changed = [`${forged}..${rest.join(".")}`, `${header}..${rest[0]}.AAAA.${rest[2]}`, "no", ""];
  for (const wrong of changed) {
    await assert.rejects(vault.decrypt({ ...label, name: "OTHER", ciphertext: wrong }), UnavailableError);
  }
});

Deno.test("a ciphertext made with another algorithm is not read", async () => {
  const { CompactEncrypt } = await import("jose");
  const ciphertext = await new CompactEncrypt(new TextEncoder().encode(value))
    .setProtectedHeader({ alg: "A256KW", enc: "A256GCM", typ: "muster-secret", kid: "one", ...label })
    .encrypt(bytes["one"]!);
  await assert.rejects(vaultOf("one").decrypt({ ...label, ciphertext }), UnavailableError);
});
