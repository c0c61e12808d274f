/** The private Realtime channels. A name is made here and nowhere else in TypeScript; policies in SQL know the same. */
export const channels = {
  /** Heard by that worker: `task.assign`, `task.cancel`, `worker.command`, `wake`. */
  workerTasks: (workerId: string): string => `worker:${workerId}:tasks`,
  /** What a worker reports; heard by members and by the executor of its jobs. */
  workerEvents: (workerId: string): string => `worker:${workerId}:events`,
  /** Heard by that executor: results and errors of its jobs. */
  executorTasks: (executorId: string): string => `executor:${executorId}:tasks`,
  /** Heard by whoever may read the job. */
  job: (jobId: string): string => `job:${jobId}`,
  /** Presence of a tenant's workers, keyed by worker id. */
  fleetPresence: (tenantId: string): string => `fleet:${tenantId}:presence`,
  /** Heard by all workers of the tenant in claim mode: `job_enqueued`. */
  workerWakeup: (tenantId: string): string => `worker-wakeup:${tenantId}`,
} as const;
