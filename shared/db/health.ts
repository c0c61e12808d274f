import type { SqlCall } from "./sql-call.ts";

export interface DatabaseHealth {
  readonly lastTickAt: string | null;
  readonly tickAgeSeconds: number | null;
  readonly onlineWorkers: number;
  readonly queuedJobs: number;
  readonly realtime: { readonly partitionToday: boolean };
}

export interface HealthDb {
  health(): Promise<DatabaseHealth>;
}

export function createHealthDb(call: SqlCall): HealthDb {
  return { health: () => call("health", {}) };
}
