import assert from "node:assert/strict";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import { createTokenSigner, type SigningKey, verifyAccessToken } from "./access-token.ts";

const worker = { workerId: crypto.randomUUID(), tenantId: crypto.randomUUID(), fingerprint: "thumbprint" };

async function es256(): Promise<SigningKey> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk: JWK = { ...await exportJWK(privateKey), kid: "key-1", alg: "ES256" };
  return { kind: "jwk", jwk };
}

Deno.test("a worker token says who the worker is, whose it is, and which key it is bound to", async () => {
  const secret: SigningKey = { kind: "secret", secret: "a secret of at least thirty-two characters" };
  for (const key of [secret, await es256()]) {
    const token = await createTokenSigner(key).signWorker(worker);
    assert.equal(token.expiresIn, 600);
    const claims = await verifyAccessToken(token.accessToken, key);
    assert.equal(claims.sub, worker.workerId);
    assert.equal(claims["role"], "muster_worker");
    assert.equal(claims["tenant_id"], worker.tenantId);
    assert.deepEqual(claims["scopes"], ["worker"]);
    assert.deepEqual(claims["cnf"], { jkt: worker.fingerprint });
    assert.equal(claims.exp! - claims.iat!, 600);
  }
});

Deno.test("a token does not verify with another key or after its time", async () => {
  const [key, other] = [await es256(), await es256()];
  const { accessToken } = await createTokenSigner(key).signWorker(worker);
  await assert.rejects(verifyAccessToken(accessToken, other));
  await assert.rejects(verifyAccessToken(accessToken, key, { now: () => Date.now() + 601_000 }));
});
