import type { z } from "zod";
import type { Caller } from "../auth/caller.ts";
import type { Artifact, ArtifactList, CreateArtifactRequest } from "../contracts/artifacts.ts";
import type { SqlCall } from "./sql-call.ts";

export interface ArtifactsDb {
  createArtifact(caller: Caller, artifact: z.output<typeof CreateArtifactRequest>): Promise<Artifact>;
  getArtifact(caller: Caller, artifactId: string): Promise<Artifact>;
  /** Answers the artifact when the caller may finish it. */
  authorizeArtifactFinish(caller: Caller, artifactId: string): Promise<Artifact>;
  /** Records what was counted while reading the stored bytes. */
  finishArtifact(artifactId: string, sizeBytes: number, sha256: string): Promise<Artifact>;
  /** Marks a pending artifact as not what was declared; null when another call decided before. */
  rejectArtifact(artifactId: string, reason: string): Promise<Artifact | null>;
  listArtifacts(caller: Caller, jobId: string): Promise<ArtifactList>;
}

export function createArtifactsDb(call: SqlCall): ArtifactsDb {
  return {
    createArtifact: (caller, artifact) => call("create_artifact", { artifact }, caller),
    getArtifact: (caller, artifactId) => call("get_artifact", { artifactId }, caller),
    authorizeArtifactFinish: (caller, artifactId) => call("authorize_artifact_finish", { artifactId }, caller),
    finishArtifact: (artifactId, sizeBytes, sha256) => call("finish_artifact", { artifactId, sizeBytes, sha256 }),
    rejectArtifact: (artifactId, reason) => call("reject_artifact", { artifactId, reason }),
    listArtifacts: (caller, jobId) => call("list_artifacts", { jobId }, caller),
  };
}
