import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { exportJWK, generateKeyPair, type JSONWebKeySet, type JWK, SignJWT } from "jose";
import { findPostgresHome } from "./postgres-home.ts";

/** 2024-01-01 and ten years later: tokens that are the same at every start on the same data. */
const issuedAt = 1_704_067_200;
const expiresAt = 2_019_686_400;

type Secrets = {
  jwtSecret: string;
  publishableKey: string;
  secretKey: string;
  /** Of the superuser and the other roles that log in. */
  databasePassword: string;
  /** An ES256 key pair, as a project can import one, with its `kid`. */
  signingJwk: JWK;
  /** What named secrets are encrypted with at rest, by id, the current one first. */
  masterKeys: Record<string, string>;
};

export type LocalKeys = Secrets & {
  /** The JWT with role `anon` that the gateway puts in place of the publishable key. */
  anonKey: string;
  /** The JWT with role `service_role` that the gateway puts in place of the secret key. */
  serviceRoleKey: string;
};

/** What signs tokens of workers and clients: the project's secret, or the ES256 key that was imported. */
export type Signing = "HS256" | "ES256";

/** What tokens are verified with: the secret always; the imported key's public half where a project has one. */
export type VerifyingKeys = { jwtSecret: string; jwks?: JSONWebKeySet };

export function verifyingKeys({ jwtSecret, signingJwk }: LocalKeys, signing: Signing): VerifyingKeys {
  if (signing === "HS256") return { jwtSecret };
  const { d: _, ...publicJwk } = signingJwk;
  return { jwtSecret, jwks: { keys: [{ ...publicJwk, key_ops: ["verify"] }] } };
}

/** What clients send, and what the gateway puts in its place. */
export type ApiKeys = Pick<LocalKeys, "publishableKey" | "secretKey" | "anonKey" | "serviceRoleKey">;

/**
 * The keys of the stack with this data: random, made at its first start and kept in `keys.json`, which its owner alone
 * can read. A stack that listens on the loopback interface is still within reach of every web page its user visits, and
 * lets pages of any origin in, as the platform does: what keeps them out is that they cannot know the keys.
 */
export async function localKeys(dataDir: string): Promise<LocalKeys> {
  const path = join(dataDir, "keys.json");
  try {
    return await withTokens(await completed(JSON.parse(await Deno.readTextFile(path)), path));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw new Error(`Cannot read ${path}: ${(error as Error).message}`);
  }
  if (await hasCluster(dataDir)) {
    throw new Error(
      `Cannot use the data in "${dataDir}": keys.json, which holds the password of its database, is missing. ` +
        "Forget the data with `npm start -- --reset`, or restore the file",
    );
  }
  const secrets = await randomSecrets();
  await keep(path, secrets);
  return await withTokens(secrets);
}

/** Data of an earlier start may know fewer keys than there are now. */
async function completed(kept: Partial<Secrets>, path: string): Promise<Secrets> {
  const secrets = { ...await randomSecrets(), ...kept };
  if (Object.keys(kept).length < Object.keys(secrets).length) await keep(path, secrets);
  return secrets;
}

/** Keys that nobody else has. */
export async function randomKeys(): Promise<LocalKeys> {
  return await withTokens(await randomSecrets());
}

/** Moved into place whole: a start that is cut off here leaves no half of it. */
async function keep(path: string, secrets: Secrets): Promise<void> {
  await Deno.writeTextFile(`${path}.new`, JSON.stringify(secrets, null, 2) + "\n", { mode: 0o600 });
  await Deno.rename(`${path}.new`, path);
}

async function hasCluster(dataDir: string): Promise<boolean> {
  const { data } = await findPostgresHome(dataDir);
  return await Deno.stat(join(data, "PG_VERSION")).then(() => true, () => false);
}

async function randomSecrets(): Promise<Secrets> {
  return {
    jwtSecret: randomText(48),
    publishableKey: `sb_publishable_${randomText(24)}`,
    secretKey: `sb_secret_${randomText(24)}`,
    databasePassword: randomText(24),
    signingJwk: await newSigningJwk(),
    masterKeys: { k1: randomText(32) },
  };
}

async function newSigningJwk(): Promise<JWK> {
  const { privateKey } = await generateKeyPair("ES256", { extractable: true });
  return { ...await exportJWK(privateKey), kid: crypto.randomUUID(), alg: "ES256", use: "sig" };
}

/** Letters, digits, `-` and `_`: needs no quoting in a URL or in SQL. */
function randomText(bytes: number): string {
  return randomBytes(bytes).toString("base64url");
}

async function withTokens(secrets: Secrets): Promise<LocalKeys> {
  return {
    ...secrets,
    anonKey: await roleToken("anon", secrets.jwtSecret),
    serviceRoleKey: await roleToken("service_role", secrets.jwtSecret),
  };
}

function roleToken(role: string, jwtSecret: string): Promise<string> {
  return new SignJWT({ role })
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setIssuer("supabase-local")
    .setIssuedAt(issuedAt)
    .setExpirationTime(expiresAt)
    .sign(new TextEncoder().encode(jwtSecret));
}
