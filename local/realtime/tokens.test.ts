import assert from "node:assert/strict";
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { tokenVerifier } from "./tokens.ts";

const jwtSecret = "a secret that is at least thirty-two bytes long";
const now = () => 1_000_000_000;
const verify = tokenVerifier({ jwtSecret, now });

function sign(claims: JWTPayload, secret = jwtSecret, alg = "HS256"): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));
}

Deno.test("realtime: a token needs a signature, a role and an expiry ahead", async () => {
  assert.deepEqual(await verify(await sign({ role: "anon", exp: 1_000_001 })), { role: "anon", exp: 1_000_001 });
  const longSecret = jwtSecret.repeat(2);
  const verifyLong = tokenVerifier({ jwtSecret: longSecret, now });
  assert.ok(await verifyLong(await sign({ role: "anon", exp: 1_000_001 }, longSecret, "HS512")));
});

Deno.test("realtime: a refused token names its reason", async () => {
  const missing = "Fields `role` and `exp` are required in JWT";
  const cases: [string, string, string][] = [
    ["", "MalformedJWT", "The token provided is not a valid JWT"],
    ["a.b.c", "MalformedJWT", "The token provided is not a valid JWT"],
    [
      await sign({ role: "anon", exp: 1_000_001 }, "x".repeat(32)),
      "JwtSignatureError",
      "Failed to validate JWT signature",
    ],
    [await sign({ role: "anon", exp: 999_990 }), "InvalidJWTToken", "Token has expired 10 seconds ago"],
    [await sign({ role: "anon", exp: 1_000_000 }), "InvalidJWTToken", "Token has expired 0 seconds ago"],
    [await sign({ role: "anon" }), "InvalidJWTToken", missing],
    [await sign({ exp: 1_000_001 }), "InvalidJWTToken", missing],
    [
      await sign({ role: "anon", exp: 1_000_001, iat: "x" as never }),
      "UnknownErrorOnChannel",
      "Unknown Error on Channel",
    ],
  ];
  for (const [token, code, message] of cases) await assert.rejects(verify(token), { code, message });
});

Deno.test("realtime: a public key verifies tokens that name it, and the secret all others", async () => {
  const { publicKey, privateKey } = await generateKeyPair("ES256");
  const jwks = { keys: [{ ...await exportJWK(publicKey), kid: "k1", alg: "ES256" }] };
  const verifyBoth = tokenVerifier({ jwtSecret, jwks, now });
  const claims = { role: "anon", exp: 1_000_001 };
  assert.ok(
    await verifyBoth(await new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "k1" }).sign(privateKey)),
  );
  assert.ok(await verifyBoth(await sign(claims)));
});

Deno.test("realtime: a token that names no key there is says so; HS falls back to the secret, or uses a key of its kid", async () => {
  const rest = "check your JWT secret or JWKS configuration";
  const { privateKey } = await generateKeyPair("ES256");
  const claims = { role: "anon", exp: 1_000_001 };
  const named = await new SignJWT(claims).setProtectedHeader({ alg: "ES256", kid: "other" }).sign(privateKey);
  const nameless = await new SignJWT(claims).setProtectedHeader({ alg: "ES256" }).sign(privateKey);
  const k = "c2hhcmVkLXNlY3JldC1vZi1hdC1sZWFzdC0zMi1ieXRlcw";
  const verifyKeys = tokenVerifier({ jwtSecret, jwks: { keys: [{ kty: "oct", kid: "shared", k }] }, now });

  const refused = {
    code: "JwtSignerError",
    message: `Failed to generate JWT signer for key ID (kid) "other", ${rest}`,
  };
  await assert.rejects(verifyKeys(named), refused);
  for (const verifier of [verify, verifyKeys]) {
    await assert.rejects(verifier(nameless), {
      code: "JwtSignerError",
      message: `Failed to generate JWT signer, ${rest}`,
    });
  }
  const shared = (kid: string, secret: Uint8Array) =>
    new SignJWT(claims).setProtectedHeader({ alg: "HS256", kid }).sign(secret);
  assert.ok(await verifyKeys(await shared("shared", Uint8Array.fromBase64(k, { alphabet: "base64url" }))));
  assert.ok(await verifyKeys(await shared("unknown", new TextEncoder().encode(jwtSecret))));
});
