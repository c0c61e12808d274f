import assert from "node:assert/strict";
import { exportJWK, generateKeyPair, jwtVerify, type JWTVerifyResult } from "jose";
import { createTokenSigner, type SigningKey } from "./access-token.ts";

const worker = { workerId: crypto.randomUUID(), tenantId: crypto.randomUUID(), fingerprint: "thumbprint" };
const secret = "a secret of at least thirty-two characters";

/** A signing key, and what the project verifies its tokens with. */
interface KeyPair {
  readonly key: SigningKey;
  readonly verify: (token: string, at?: Date) => Promise<JWTVerifyResult>;
}

function hs256(): KeyPair {
  const bytes = new TextEncoder().encode(secret);
  return { key: { kind: "secret", secret }, verify: (token, at) => jwtVerify(token, bytes, expected("HS256", at)) };
}

async function es256(): Promise<KeyPair> {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = { ...await exportJWK(privateKey), kid: "key-1", alg: "ES256" };
  return { key: { kind: "jwk", jwk }, verify: (token, at) => jwtVerify(token, publicKey, expected("ES256", at)) };
}

function expected(algorithm: string, currentDate = new Date()) {
  return { algorithms: [algorithm], issuer: "muster", audience: "muster", currentDate };
}

Deno.test("a worker token says who the worker is, whose it is, and which key it is bound to", async () => {
  for (const { key, verify } of [hs256(), await es256()]) {
    const token = await createTokenSigner(key).signWorker(worker);
    assert.equal(token.expiresIn, 600);
    const { payload: claims, protectedHeader } = await verify(token.accessToken);
    assert.equal(protectedHeader.kid, key.kind === "jwk" ? "key-1" : undefined);
    assert.equal(claims.sub, worker.workerId);
    assert.equal(claims["role"], "muster_worker");
    assert.equal(claims["tenant_id"], worker.tenantId);
    assert.deepEqual(claims["scopes"], ["worker"]);
    assert.deepEqual(claims["cnf"], { jkt: worker.fingerprint });
    assert.equal(claims.exp! - claims.iat!, 600);
  }
});

Deno.test("a token does not verify with another key or after its time", async () => {
  const [ours, other] = [await es256(), await es256()];
  const { accessToken } = await createTokenSigner(ours.key).signWorker(worker);
  await assert.rejects(other.verify(accessToken));
  await assert.rejects(ours.verify(accessToken, new Date(Date.now() + 601_000)));
});
