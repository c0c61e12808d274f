import assert from "node:assert/strict";
import { SignJWT } from "jose";
import type { PublicJwk } from "../contracts/enroll.ts";
import { type ErrorCode, MusterError } from "../errors.ts";
import { deviceFingerprint, makeDeviceProof, type ProofPurpose, verifyDeviceProof } from "./device-proof.ts";

const now = () => Date.UTC(2026, 0, 31, 12);
const enroll: ProofPurpose = { kind: "enroll", token: "mse_secret" };
const workerId = "6f2c2f3e-0d5d-4d2c-8d5f-0a1b2c3d4e5f";

async function newKey(): Promise<{ privateKey: CryptoKey; publicJwk: PublicJwk }> {
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const { x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  return { privateKey: pair.privateKey, publicJwk: { kty: "EC", crv: "P-256", x: x!, y: y! } };
}

async function refusal(proof: string, purpose: ProofPurpose): Promise<ErrorCode> {
  try {
    await verifyDeviceProof(proof, purpose, { now });
  } catch (error) {
    if (error instanceof MusterError) return error.code;
    throw error;
  }
  throw new assert.AssertionError({ message: "The proof was accepted" });
}

Deno.test("a device proof verifies and names its key", async () => {
  const key = await newKey();
  const proof = await verifyDeviceProof(await makeDeviceProof(key, enroll, { now }), enroll, { now });
  assert.equal(proof.fingerprint, await deviceFingerprint(key.publicJwk));
  assert.equal(proof.expiresAt.getTime(), now() + 61_000);
});

Deno.test("a device proof is of no use for another token, worker or purpose", async () => {
  const key = await newKey();
  const proof = await makeDeviceProof(key, enroll, { now });
  assert.equal(await refusal(proof, { kind: "enroll", token: "mse_other" }), "proof_invalid");
  assert.equal(await refusal(proof, { kind: "refresh", workerId }), "proof_invalid");
  const refresh = await makeDeviceProof(key, { kind: "refresh", workerId }, { now });
  assert.equal(await refusal(refresh, { kind: "refresh", workerId: crypto.randomUUID() }), "proof_invalid");
});

Deno.test("a device proof signed by another key than the one it names is refused", async () => {
  const [key, other] = [await newKey(), await newKey()];
  const proof = await makeDeviceProof({ privateKey: other.privateKey, publicJwk: key.publicJwk }, enroll, { now });
  assert.equal(await refusal(proof, enroll), "proof_invalid");
});

Deno.test("a device proof from a clock that is more than a minute off tells the server's time", async () => {
  const key = await newKey();
  for (const offMs of [-61_000, 61_000]) {
    const proof = await makeDeviceProof(key, enroll, { now: () => now() + offMs });
    await assert.rejects(
      verifyDeviceProof(proof, enroll, { now }),
      (error: MusterError) =>
        error.code === "clock_skewed" && error.serverTime === "2026-01-31T12:00:00.000Z" && /61 s/.test(error.message),
    );
  }
  await verifyDeviceProof(await makeDeviceProof(key, enroll, { now: () => now() - 59_000 }), enroll, { now });
});

Deno.test("what is not a device proof is refused as such", async () => {
  const key = await newKey();
  const { kty, crv, x, y } = key.publicJwk;
  const sign = (header: Record<string, unknown>, claims: Record<string, unknown>) =>
    new SignJWT({ aud: "muster:refresh", sub: workerId, iat: now() / 1000, jti: crypto.randomUUID(), ...claims })
      .setProtectedHeader({ typ: "muster-proof+jwt", alg: "ES256", jwk: { kty, crv, x, y }, ...header })
      .sign(key.privateKey);
  const refresh: ProofPurpose = { kind: "refresh", workerId };
  await verifyDeviceProof(await sign({}, {}), refresh, { now });
  for (
    const proof of [
      "",
      "a.b.c",
      "..",
      await sign({ typ: "JWT" }, {}),
      await sign({ jwk: undefined }, {}),
      await sign({ jwk: { kty: "oct", k: "AAAA" } }, {}),
      await sign({}, { jti: "not a uuid" }),
      await sign({}, { jti: undefined }),
      await sign({}, { iat: "soon" }),
      await sign({}, { aud: "other" }),
    ]
  ) {
    assert.equal(await refusal(proof, refresh), "proof_invalid", proof);
  }
});
