import { z } from "zod";
import { Id, Instant, text } from "./common.ts";
import { limits } from "./limits.ts";

/** The private Storage bucket that holds every artifact. */
export const artifactBucket = "muster-artifacts";

/** Held against the SQL enum `muster.artifact_status`. */
export const artifactStatuses = ["pending", "ready", "rejected"] as const;

const Sha256 = z.string().regex(/^[0-9a-f]{64}$/, "Must be 64 lower-case hex digits");

export const ArtifactParams = z.object({ id: Id.describe("The artifact's id") });

export const CreateArtifactRequest = z.strictObject({
  name: text(limits.artifactNameLength).describe("File name"),
  sizeBytes: z.number().int().min(0).max(limits.artifactBytes).describe("Exact size of the bytes to be uploaded"),
  sha256: Sha256.describe("SHA-256 of the bytes to be uploaded, in hex"),
  contentType: z.string().max(255)
    .regex(/^[\w.+-]+\/[\w.+-]+( *; *[\w-]+=("[\w .+-]*"|[\w.+-]+))*$/, "Must be a media type such as text/plain")
    .default("application/octet-stream"),
  jobId: Id.optional().describe("A worker's output: the job whose attempt it holds"),
  attempt: z.number().int().min(1).max(2_147_483_647).optional().describe("A worker's output: its attempt"),
}).refine((artifact) => (artifact.jobId === undefined) === (artifact.attempt === undefined), {
  message: "jobId and attempt go together",
  path: ["attempt"],
}).meta({
  id: "CreateArtifactRequest",
  dependentRequired: { jobId: ["attempt"], attempt: ["jobId"] },
  example: {
    name: "photo.jpg",
    sizeBytes: 5,
    sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    contentType: "image/jpeg",
  },
});
export type CreateArtifactRequest = z.input<typeof CreateArtifactRequest>;

export const Artifact = z.object({
  id: Id,
  tenantId: Id,
  jobId: Id.nullable(),
  attempt: z.number().int().nullable(),
  workerId: Id.nullable(),
  name: z.string(),
  path: z.string().describe("Where it lies in the bucket"),
  contentType: z.string(),
  sizeBytes: z.number().int(),
  sha256: z.string(),
  status: z.enum(artifactStatuses).describe("Only a ready artifact's bytes were verified"),
  error: z.string().nullable().describe("Why it was rejected"),
  createdAt: Instant,
  finishedAt: Instant.nullable(),
}).meta({ id: "Artifact" });
export type Artifact = z.infer<typeof Artifact>;

export const CreateArtifactAnswer = z.object({
  artifact: Artifact,
  upload: z.object({
    url: z.string().describe("Presigned: send the bytes there, without any key"),
    method: z.literal("PUT"),
    headers: z.record(z.string(), z.string()).describe("To be sent with the bytes"),
    expiresAt: Instant,
  }),
}).meta({ id: "CreateArtifactAnswer" });
export type CreateArtifactAnswer = z.infer<typeof CreateArtifactAnswer>;

export const DownloadAnswer = z.object({
  url: z.string().describe("Presigned: fetch the bytes there, without any key"),
  expiresAt: Instant,
}).meta({ id: "DownloadAnswer" });
export type DownloadAnswer = z.infer<typeof DownloadAnswer>;

export const ListArtifactsQuery = z.strictObject({ jobId: Id.describe("The job whose files are wanted") });

export const ArtifactList = z.object({ artifacts: z.array(Artifact) }).meta({ id: "ArtifactList" });
export type ArtifactList = z.infer<typeof ArtifactList>;
