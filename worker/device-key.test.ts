import assert from "node:assert/strict";
import { makeDeviceProof, verifyDeviceProof } from "../shared/auth/device-proof.ts";
import { makeDeviceKey } from "./device-key.ts";

Deno.test("makeDeviceKey() makes a key that signs proofs and whose private half nobody can read", async () => {
  const key = await makeDeviceKey({ extractable: false });
  assert.equal(key.privateKey.extractable, false);
  await assert.rejects(crypto.subtle.exportKey("jwk", key.privateKey));
  await assert.rejects(crypto.subtle.exportKey("pkcs8", key.privateKey));
  assert.deepEqual(Object.keys(key.publicJwk).sort(), ["crv", "kty", "x", "y"]);
  const purpose = { kind: "enroll", token: "mse_x" } as const;
  await verifyDeviceProof(await makeDeviceProof(key, purpose), purpose);
});

Deno.test("makeDeviceKey() makes a key that can be written down only where that is asked for", async () => {
  const { privateKey } = await makeDeviceKey({ extractable: true });
  assert.equal(typeof (await crypto.subtle.exportKey("jwk", privateKey)).d, "string");
});
