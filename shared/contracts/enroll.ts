import { z } from "zod";
import { Capabilities, Id, Instant, Labels, text } from "./common.ts";
import { limits } from "./limits.ts";

/** The public half of the device's ES256 key. The private half never leaves the machine. */
export const PublicJwk = z.strictObject({
  kty: z.literal("EC"),
  crv: z.literal("P-256"),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/, "Must be 32 bytes in base64url"),
  y: z.string().regex(/^[A-Za-z0-9_-]{43}$/, "Must be 32 bytes in base64url"),
  kid: z.string().max(limits.keyLength).optional(),
  alg: z.literal("ES256").optional(),
  use: z.literal("sig").optional(),
  key_ops: z.array(z.string().max(20)).max(10).optional(),
  ext: z.boolean().optional(),
}).meta({ id: "PublicJwk", description: "Public EC P-256 key as a JWK" });
export type PublicJwk = z.infer<typeof PublicJwk>;

const exampleJwk = {
  kty: "EC",
  crv: "P-256",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
} as const;

const Proof = z.string().min(1).max(4_096).describe(
  "Device proof: a compact ES256 JWS, valid for 60 seconds, used once",
);

export const EnrollRequest = z.strictObject({
  token: text(limits.keyLength).describe("Enrollment token (mse_…)"),
  publicJwk: PublicJwk,
  proof: Proof,
  name: text(limits.nameLength).optional().describe("Shown to people; made from the fingerprint when left out"),
  capabilities: Capabilities.describe("What the worker can do; cut down to what the token allows"),
  labels: Labels.optional(),
  slots: z.number().int().min(1).max(limits.slots).default(1).describe("How many jobs it runs at a time"),
  version: text(limits.nameLength).optional().describe("Version of the worker's software"),
}).meta({
  id: "EnrollRequest",
  example: {
    token: "mse_…",
    publicJwk: exampleJwk,
    proof: "eyJ0eXAiOiJtdXN0ZXItcHJvb2Yrand0…",
    name: "gpu-7",
    capabilities: ["compute/basic"],
    slots: 2,
  },
});
export type EnrollRequest = z.input<typeof EnrollRequest>;

export const RefreshRequest = z.strictObject({
  workerId: Id,
  proof: Proof,
}).meta({
  id: "RefreshRequest",
  example: { workerId: "e4d909c2-90d0-4b1c-a068-ffaddf22cbd0", proof: "eyJ0eXAiOiJtdXN0ZXItcHJvb2Yrand0…" },
});
export type RefreshRequest = z.infer<typeof RefreshRequest>;

export const RotateRequest = z.strictObject({
  workerId: Id,
  publicJwk: PublicJwk.describe("The new key"),
  proof: Proof.describe("Proof of the old key, which names the new one"),
  newProof: Proof.describe("Proof of the new key, which names the old key's proof"),
}).meta({
  id: "RotateRequest",
  example: {
    workerId: "e4d909c2-90d0-4b1c-a068-ffaddf22cbd0",
    publicJwk: exampleJwk,
    proof: "eyJ0eXAiOiJtdXN0ZXItcHJvb2Yrand0…",
    newProof: "eyJ0eXAiOiJtdXN0ZXItcHJvb2Yrand0…",
  },
});
export type RotateRequest = z.infer<typeof RotateRequest>;

const Token = z.object({
  accessToken: z.string().describe("JWT for the Data API and Realtime"),
  tokenType: z.literal("Bearer"),
  expiresIn: z.number().int().describe("Seconds"),
  expiresAt: Instant,
  supabaseUrl: z.string().describe("Base URL of the project"),
  publishableKey: z.string().describe("The project's publishable key, for the apikey header"),
});

/** Answer of `POST /enroll`, `POST /enroll/refresh` and `POST /enroll/rotate`. */
export const EnrollAnswer = Token.extend({
  workerId: Id,
  tenantId: Id,
  name: z.string(),
  capabilities: z.array(z.string()).describe("What is left after the cut"),
  labels: z.record(z.string(), z.string()),
}).meta({ id: "EnrollAnswer" });
export type EnrollAnswer = z.infer<typeof EnrollAnswer>;

/** Answer of `POST /enroll/client-token`: what an executor listens with. */
export const ClientTokenAnswer = Token.extend({
  executorId: Id,
  tenantId: Id,
  channels: z.object({ tasks: z.string().describe("Private channel with the ends of its jobs") }),
}).meta({ id: "ClientTokenAnswer" });
export type ClientTokenAnswer = z.infer<typeof ClientTokenAnswer>;
