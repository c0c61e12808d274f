import assert from "node:assert/strict";
import { CompactEncrypt } from "jose";
import { InvalidRequestError } from "../errors.ts";
import { makeSealingKey, sealSecrets, unsealSecrets } from "./sealed-secrets.ts";

const values = { KEY: `a "quoted"\nпароль 🔑`, OTHER: "x".repeat(16 * 1024), __proto: "own" };

Deno.test("what is sealed to a key is read with it, and with no other", async () => {
  const [key, other] = [await makeSealingKey(), await makeSealingKey()];
  const sealed = await sealSecrets(values, key.publicJwk);
  assert.deepEqual(await unsealSecrets(sealed, key), values);
  await assert.rejects(unsealSecrets(sealed, other));
  await assert.rejects(unsealSecrets(sealed.slice(0, -4) + "AAAA", key));
  await assert.rejects(crypto.subtle.exportKey("jwk", key.privateKey));
});

Deno.test("a key that is no point of the curve is refused", async () => {
  const publicJwk = { kty: "EC", crv: "P-256", x: "A".repeat(43), y: "A".repeat(43) } as const;
  await assert.rejects(sealSecrets(values, publicJwk), InvalidRequestError);
});

Deno.test("what is not an object of texts is refused without a word of it", async () => {
  const key = await makeSealingKey();
  const publicKey = await crypto.subtle.importKey(
    "jwk",
    key.publicJwk,
    { name: "ECDH", namedCurve: "P-256" },
    true,
    [],
  );
  for (const text of ["planted", `{"a": planted}`, `{"a": {"planted": 1}}`, "[]"]) {
    const sealed = await new CompactEncrypt(new TextEncoder().encode(text))
      .setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM" }).encrypt(publicKey);
    await assert.rejects(unsealSecrets(sealed, key), (error: Error) => {
      assert.ok(!`${error.message} ${error.stack} ${error.cause}`.includes("planted"));
      return true;
    });
  }
});
