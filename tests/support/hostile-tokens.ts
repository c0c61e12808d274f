import { Buffer } from "node:buffer";
import { createHmac, createPublicKey } from "node:crypto";
import {
  CompactEncrypt,
  decodeJwt,
  exportJWK,
  generateKeyPair,
  importJWK,
  type JWK,
  type JWTHeaderParameters,
  type JWTPayload,
  SignJWT,
} from "jose";
import { project } from "./project.ts";

/** A token that must open nothing. */
export interface HostileToken {
  readonly what: string;
  readonly token: string;
}

/** Roles that an attacker would like to have. */
const roles = ["muster_worker", "muster_client", "authenticated", "service_role", "postgres", "supabase_admin"];

/**
 * Tokens made of a genuine one of a worker, as everybody can make them who has read such a token and knows the project's
 * public keys. `listener` is a URL that must never be called.
 */
export async function forgedTokens(genuine: string, listener: string): Promise<HostileToken[]> {
  const claims = decodeJwt(genuine);
  const [header = "", payload = "", signature = ""] = genuine.split(".");
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const attacker = await exportJWK(publicKey);
  const kid = project.signingJwk?.kid ?? "key-1";
  const byKey = (more: Partial<JWTHeaderParameters> = {}, changed: JWTPayload = claims) =>
    new SignJWT(changed).setProtectedHeader({ alg: "ES256", typ: "JWT", kid, ...more }).sign(privateKey);
  const bySecret = (secret: Uint8Array | string, more: Partial<JWTHeaderParameters> = {}, changed = claims) =>
    signWithSecret(typeof secret === "string" ? Buffer.from(secret) : secret, { alg: "HS256", ...more }, changed);
  const found: [what: string, token: string | Promise<string>][] = [
    ...["none", "None", "nOnE", "NONE"].flatMap((alg): [string, string][] => [
      [`alg ${alg} without a signature`, `${encode({ alg, typ: "JWT" })}.${payload}.`],
      [`alg ${alg} with a genuine signature`, `${encode({ alg, typ: "JWT", kid })}.${payload}.${signature}`],
    ]),
    ["no alg", `${encode({ typ: "JWT" })}.${payload}.${signature}`],
    ["an alg that is no text", `${encode({ alg: ["HS256"], typ: "JWT" })}.${payload}.${signature}`],
    ["no signature", `${header}.${payload}.`],
    ["two parts", `${header}.${payload}`],
    ["four parts", `${genuine}.${signature}`],
    ["a signature of zeros", `${header}.${payload}.${Buffer.alloc(64).toString("base64url")}`],
    [
      "an ES256 signature of zeros",
      `${encode({ alg: "ES256", kid })}.${payload}.${Buffer.alloc(64).toString("base64url")}`,
    ],
    ["a signature of another algorithm", `${encode({ alg: "HS512", typ: "JWT" })}.${payload}.${signature}`],
    [
      "other claims under a genuine signature",
      `${header}.${encode({ ...claims, sub: crypto.randomUUID() })}.${signature}`,
    ],
    ["the tenant changed", `${header}.${encode({ ...claims, tenant_id: crypto.randomUUID() })}.${signature}`],
    [
      "a claim twice, the second time as wished",
      `${header}.${
        Buffer.from(JSON.stringify(claims).replace(/}$/, ',"role":"service_role"}')).toString("base64url")
      }.${signature}`,
    ],
    ["a secret of no bytes", bySecret("")],
    ["a secret that everybody knows", bySecret("super-secret-jwt-token-with-at-least-32-characters-long")],
    ["the publishable key as the secret", bySecret(project.publishableKey)],
    ["an unknown ES256 key", byKey()],
    ["an unknown ES256 key without a kid", byKey({ kid: undefined as never })],
    ["an unknown ES256 key in the header", byKey({ jwk: attacker })],
    ["an unknown ES256 key at a URL in the header (jku)", byKey({ jku: `${listener}/jwks.json` })],
    ["an unknown ES256 key at a URL in the header (x5u)", byKey({ x5u: `${listener}/key.pem` })],
    ["an unknown ES256 key in a certificate in the header", byKey({ x5c: ["AAAA"] })],
    ["a kid that is a path", byKey({ kid: "../../../../dev/null" })],
    ["a kid that is SQL", byKey({ kid: "' union select '" })],
    ["a kid that is a path, signed with nothing", bySecret("", { kid: "../../../../dev/null" })],
    ...roles.flatMap((role): [string, string | Promise<string>][] => [
      [`role ${role} by an unknown key`, byKey({}, { ...claims, role })],
      [
        `role ${role} by an unknown secret`,
        bySecret("an attacker's secret of more than 32 bytes", {}, { ...claims, role }),
      ],
    ]),
    ["claims nested a thousand deep", `${encode({ alg: "HS256" })}.${nested(1_000)}.${signature}`],
    ["a header nested a thousand deep", `${nested(1_000)}.${payload}.${signature}`],
    ["claims that are a list", `${header}.${encode([])}.${signature}`],
    ["claims that are null", `${header}.${encode(null)}.${signature}`],
    ["claims that are not JSON", `${header}.${Buffer.from("{").toString("base64url")}.${signature}`],
    ["a million characters", `${header}.${"A".repeat(1_000_000)}.${signature}`],
    ["an encrypted token", encrypted(claims, attacker)],
    ["dots", "..."],
  ];
  if (project.signingJwk !== undefined) found.push(...confusions(publicHalf(project.signingJwk), claims));
  return await Promise.all(found.map(async ([what, token]) => ({ what, token: await token })));
}

/** HMACs with everything that could be taken for the public key's bytes: whoever trusts `alg` verifies them. */
function confusions(jwk: JWK, claims: JWTPayload): [what: string, token: string][] {
  const key = createPublicKey({ key: jwk as never, format: "jwk" });
  const pem = key.export({ type: "spki", format: "pem" }).toString();
  const point = Buffer.concat([Buffer.of(4), Buffer.from(jwk.x!, "base64url"), Buffer.from(jwk.y!, "base64url")]);
  const texts: Record<string, Uint8Array> = {
    "PEM": Buffer.from(pem),
    "PEM without its last line feed": Buffer.from(pem.trim()),
    "DER": key.export({ type: "spki", format: "der" }),
    "point": point,
    "x": Buffer.from(jwk.x!, "base64url"),
    "JWK": Buffer.from(JSON.stringify(jwk)),
    "JWK of four members": Buffer.from(JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y })),
  };
  return Object.entries(texts).flatMap(([form, bytes]): [string, string][] => [
    [`HS256 with the public key's ${form}`, signWithSecret(bytes, { alg: "HS256", typ: "JWT", kid: jwk.kid! }, claims)],
    [`HS256 with the public key's ${form}, without a kid`, signWithSecret(bytes, { alg: "HS256", typ: "JWT" }, claims)],
  ]);
}

/** Tokens that the project's own key has signed, and that are not good all the same. */
export async function spoiltTokens(genuine: string): Promise<HostileToken[]> {
  const claims = decodeJwt(genuine);
  const now = Math.floor(Date.now() / 1000);
  const sign = (more: Partial<JWTPayload>, header: Partial<JWTHeaderParameters> = {}) =>
    signAsProject({ ...claims, ...more }, header);
  return [
    { what: "expired an hour ago", token: await sign({ iat: now - 4200, exp: now - 3600 }) },
    { what: "an expiry that is a text", token: await sign({ exp: "tomorrow" as never }) },
    { what: "an extension that is critical and unknown", token: await sign({}, { crit: ["exp2"], exp2: 1 } as never) },
  ];
}

/** Signs as the project does: with its ES256 key where it has imported one, else with its secret. */
export async function signAsProject(claims: JWTPayload, header: Partial<JWTHeaderParameters> = {}): Promise<string> {
  const { signingJwk, jwtSecret } = project;
  if (signingJwk === undefined) {
    return signWithSecret(Buffer.from(jwtSecret), { alg: "HS256", typ: "JWT", ...header }, claims);
  }
  const input = `${encode({ alg: "ES256", typ: "JWT", kid: signingJwk.kid, ...header })}.${encode(claims)}`;
  const key = await importJWK(signingJwk, "ES256") as CryptoKey;
  const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, key, Buffer.from(input));
  return `${input}.${Buffer.from(signature).toString("base64url")}`;
}

/** By hand: a library would refuse some of the secrets and headers. */
function signWithSecret(secret: Uint8Array, header: Record<string, unknown>, claims: JWTPayload): string {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${createHmac("sha256", secret).update(input).digest("base64url")}`;
}

export function encode(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

function nested(depth: number): string {
  return Buffer.from(`{"alg":"HS256","a":${"[".repeat(depth)}${"]".repeat(depth)}}`).toString("base64url");
}

async function encrypted(claims: JWTPayload, jwk: JWK): Promise<string> {
  return await new CompactEncrypt(Buffer.from(JSON.stringify(claims)))
    .setProtectedHeader({ alg: "ECDH-ES", enc: "A256GCM", cty: "JWT" })
    .encrypt(await importJWK(jwk, "ECDH-ES"));
}

function publicHalf({ d: _, ...jwk }: JWK): JWK {
  return jwk;
}
