import assert from "node:assert/strict";
import { importJWK, jwtVerify } from "jose";
import { createTokenSigner } from "../../shared/auth/access-token.ts";
import { readSigningKey } from "../../shared/auth/signing-key.ts";
import { supabaseOk } from "./supabase-cli.ts";

Deno.test("function enroll signs with a key that the Supabase CLI has made", async () => {
  const folder = await Deno.makeTempDir({ prefix: "muster-signing-key-" });
  try {
    const { stdout } = await supabaseOk(folder, ["gen", "signing-key", "--algorithm", "ES256"]);
    const key = readSigningKey({ MUSTER_JWT_JWK: stdout });
    assert.ok(key.kind === "jwk");
    const { d: _, key_ops: __, ...publicKey } = key.jwk;
    const worker = { workerId: crypto.randomUUID(), tenantId: crypto.randomUUID(), fingerprint: "thumbprint" };
    const { accessToken } = await createTokenSigner(key).signWorker(worker);
    const { payload, protectedHeader } = await jwtVerify(accessToken, await importJWK(publicKey, "ES256"));
    assert.equal(payload.sub, worker.workerId);
    assert.equal(protectedHeader.kid, publicKey.kid);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
