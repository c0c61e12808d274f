/** The SDK: `Worker` runs jobs on this machine, `MusterClient` submits them. */
export type { Artifact, ArtifactBody, ReadableArtifact } from "./artifacts.ts";
export {
  type DeadLetter,
  type DeadLetterList,
  type DismissDeadLetters,
  type DismissedDeadLetters,
  type Explanation,
  type HeldResource,
  type Job,
  type JobEvent,
  type JobEventList,
  type JobList,
  type JobStatus,
  type JobSummary,
  type ListDeadLettersOptions,
  type ListJobsOptions,
  MusterClient,
  type MusterClientOptions,
  type ReplayDeadLetters,
  type ReplayedDeadLetters,
  type SubmitJob,
  type WaitOptions,
} from "./client.ts";
export { FinalError } from "./final-error.ts";
export { type AnyHandlerDefinition, defineHandler, type Handler, type HandlerDefinition } from "./handler.ts";
export { builtInHandlers } from "./handlers/built-in.ts";
export type { DeviceKey, KeyVault } from "./device-key.ts";
export { type IdentityStore, memoryIdentityStore } from "./identity.ts";
export { browserIdentityStore } from "./runtime/browser-identity-store.ts";
export { fileIdentityStore } from "./runtime/file-identity-store.ts";
export { fileSpool } from "./runtime/file-spool.ts";
export type { JobContext, JobLogLevel } from "./job-context.ts";
export type { Log, WorkerEvent } from "./log.ts";
export { rotateKey, type RotateKeyOptions } from "./rotate-key.ts";
export type { WorkerMode } from "./rpc.ts";
export type { ChangeSchedule, CreateSchedule, Schedule, ScheduledJob } from "./schedules.ts";
export type { Spool } from "./spool.ts";
export type { HoldOptions, Resources } from "./worker-resources.ts";
export { Worker, type WorkerOptions } from "./worker.ts";
export { type ErrorCode, MusterError } from "../shared/errors.ts";
