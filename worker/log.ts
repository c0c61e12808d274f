/** Something worth telling: a stable name, the ids and figures as fields, and the sentence for people. */
export interface WorkerEvent {
  readonly level: "debug" | "info" | "warn" | "error";
  /** Noun and verb, such as `job.started`. */
  readonly event: string;
  readonly message: string;
  readonly fields?: Readonly<Record<string, unknown>>;
}

export type Log = (event: WorkerEvent) => void;
