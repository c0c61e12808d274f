import type { Caller } from "../auth/caller.ts";
import type { HeldResourceList, ListResourcesQuery } from "../contracts/affinity.ts";
import type { ListWorkersQuery, Worker, WorkerList } from "../contracts/workers.ts";
import type { SqlCall } from "./sql-call.ts";

export interface WorkersDb {
  listWorkers(caller: Caller, filters: ListWorkersQuery): Promise<WorkerList>;
  getWorker(caller: Caller, workerId: string): Promise<Worker>;
  /** It gets nothing new, and finishes what it holds. */
  drainWorker(caller: Caller, workerId: string): Promise<Worker>;
  resumeWorker(caller: Caller, workerId: string): Promise<Worker>;
  /** What an operator has found out about the machine, in the place of what was recorded before. */
  setMeasuredCapabilities(caller: Caller, workerId: string, capabilities: string[]): Promise<Worker>;
  /** It gets nothing new and stays as it is, whatever it says itself. */
  cordonWorker(caller: Caller, workerId: string): Promise<Worker>;
  uncordonWorker(caller: Caller, workerId: string): Promise<Worker>;
  /** Its token and its key are void at once, and its jobs go elsewhere. */
  revokeWorker(caller: Caller, workerId: string): Promise<Worker>;
  listResources(caller: Caller, filters: ListResourcesQuery): Promise<HeldResourceList>;
}

export function createWorkersDb(call: SqlCall): WorkersDb {
  return {
    listWorkers: (caller, filters) => call("list_workers", { filters }, caller),
    getWorker: (caller, workerId) => call("get_worker", { workerId }, caller),
    drainWorker: (caller, workerId) => call("drain_worker", { workerId }, caller),
    resumeWorker: (caller, workerId) => call("resume_worker", { workerId }, caller),
    setMeasuredCapabilities: (caller, workerId, capabilities) =>
      call("set_measured_capabilities", { workerId, capabilities }, caller),
    cordonWorker: (caller, workerId) => call("cordon_worker", { workerId }, caller),
    uncordonWorker: (caller, workerId) => call("uncordon_worker", { workerId }, caller),
    revokeWorker: (caller, workerId) => call("revoke_worker", { workerId }, caller),
    listResources: (caller, filters) => call("list_resources", { filters }, caller),
  };
}
