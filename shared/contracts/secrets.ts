import { z } from "zod";
import { Id, Instant, isStorableText } from "./common.ts";
import { limits } from "./limits.ts";

export const SecretName: z.ZodType<string> = z.string().max(limits.secretNameLength)
  .regex(/^[A-Z][A-Z0-9_]*$/, "Must be A-Z, 0-9 and _, starting with a letter")
  .meta({ description: "Name of a secret", example: "OPENAI_KEY" });

/** The secrets a job may open. */
export const SecretNames: z.ZodType<string[]> = z.array(SecretName).max(limits.secretsPerJob);

export const AllowedType: z.ZodType<string> = z.string().max(limits.typeLength)
  .regex(
    /^(\*|[a-zA-Z0-9][a-zA-Z0-9._/:-]*([._/:-]\*)?)$/,
    "Must be a type of job, or the beginning of one up to a separator and then *",
  )
  .meta({ description: "A type of job, as it is or as a beginning", example: "mail.*" });

const SecretValue = z.string()
  .min(
    limits.secretLength,
    `Must have at least ${limits.secretLength} characters: a shorter one cannot be told from other text in a log`,
  )
  .max(limits.secretBytes)
  .refine(isStorableText, "Must not contain NUL or lone surrogates")
  .refine((value) => new TextEncoder().encode(value).length <= limits.secretBytes, {
    message: `Must not be larger than ${limits.secretBytes} bytes`,
  });

export const SetSecretRequest = z.strictObject({
  name: SecretName,
  value: SecretValue.meta({ description: "The value: at most 16 KiB. No answer ever tells it" }),
  allowedTypes: z.array(AllowedType).min(1).max(limits.secretTypes).optional()
    .describe("Types of jobs that may name it. A new secret needs them; left out, those of the present one stay"),
}).meta({
  id: "SetSecretRequest",
  example: { name: "OPENAI_KEY", value: "the key itself", allowedTypes: ["llm.*"] },
});
export type SetSecretRequest = z.infer<typeof SetSecretRequest>;

export const Secret = z.object({
  name: z.string(),
  allowedTypes: z.array(z.string()),
  version: z.number().int().describe("Counts the values it has had"),
  keyId: z.string().describe("The master key it is encrypted with"),
  updatedBy: z.object({ kind: z.string(), id: z.string().nullish() }).describe("Who set the value"),
  createdAt: Instant,
  updatedAt: Instant,
}).meta({ id: "Secret", description: "A secret, without its value" });
export type Secret = z.infer<typeof Secret>;

export const SecretParams = z.object({ name: SecretName });

export const ListSecretsQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(limits.pageSize).default(50).describe("Secrets a page"),
  cursor: SecretName.optional().describe("nextCursor of the page before"),
});
export type ListSecretsQuery = z.infer<typeof ListSecretsQuery>;

export const SecretList = z.object({
  secrets: z.array(Secret).describe("By name"),
  nextCursor: z.string().nullable().describe("Null on the last page"),
}).meta({ id: "SecretList" });
export type SecretList = z.infer<typeof SecretList>;

/** The public half of a key made for one request: what is sealed to it, nobody else can read. */
export const SealingJwk = z.strictObject({
  kty: z.literal("EC"),
  crv: z.literal("P-256"),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/, "Must be 32 bytes in base64url"),
  y: z.string().regex(/^[A-Za-z0-9_-]{43}$/, "Must be 32 bytes in base64url"),
}).meta({ id: "SealingJwk", description: "Public EC P-256 key as a JWK, made for one request" });
export type SealingJwk = z.infer<typeof SealingJwk>;

export const OpenSecretsRequest = z.strictObject({
  jobId: Id,
  attempt: z.number().int().min(1).max(2_147_483_647).describe("The attempt that the worker holds"),
  publicJwk: SealingJwk,
  proof: z.string().min(1).max(4_096).describe(
    "Device proof for this job, attempt and key: a compact ES256 JWS, valid for 60 seconds, used once",
  ),
}).meta({
  id: "OpenSecretsRequest",
  example: {
    jobId: "0b8f3a52-4a3e-4c8e-9a5c-2f8d8b6f7a10",
    attempt: 1,
    publicJwk: {
      kty: "EC",
      crv: "P-256",
      x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
      y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    },
    proof: "eyJ0eXAiOiJtdXN0ZXItcHJvb2Yrand0…",
  },
});
export type OpenSecretsRequest = z.infer<typeof OpenSecretsRequest>;

export const OpenSecretsAnswer = z.object({
  sealed: z.string().describe("Compact JWE (ECDH-ES, A256GCM) to publicJwk: a JSON object of the values by name"),
}).meta({ id: "OpenSecretsAnswer" });
export type OpenSecretsAnswer = z.infer<typeof OpenSecretsAnswer>;

export const RotateMasterKeyRequest = z.strictObject({
  after: Id.optional().describe("`next` of the answer before"),
}).meta({ id: "RotateMasterKeyRequest", example: {} });
export type RotateMasterKeyRequest = z.infer<typeof RotateMasterKeyRequest>;

export const RotateMasterKeyAnswer = z.object({
  keyId: z.string().describe("The current master key"),
  rotatedCount: z.number().int().describe("Secrets that were encrypted anew by this call"),
  unreadableCount: z.number().int().describe("Secrets of this call whose old key is missing or does not fit"),
  leftCount: z.number().int().describe("Secrets of all tenants that still need an older key"),
  next: Id.nullable().describe("Give it as `after` to go on; null when all were looked at"),
}).meta({ id: "RotateMasterKeyAnswer" });
export type RotateMasterKeyAnswer = z.infer<typeof RotateMasterKeyAnswer>;
