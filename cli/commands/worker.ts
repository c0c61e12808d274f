import { HeldResourceList } from "../../shared/contracts/affinity.ts";
import { Worker, WorkerList } from "../../shared/contracts/workers.ts";
import { printableLine } from "../../shared/printable.ts";
import { findTenant } from "../api.ts";
import { type CliCommand, defineCommand } from "../define-command.ts";
import { table } from "../outcome.ts";
import { readId, readName, tenantOption } from "../read-options.ts";

/** What is done to one worker, and how the worker is then. */
function action(verb: string, help: string, outcome: (worker: Worker) => string): CliCommand {
  return defineCommand({
    help: `\
  ${`worker ${verb} ID`.padEnd(26)} ${help}
      --tenant NAME          Its tenant (default: default)`,
    options: { tenant: tenantOption },
    names: ["ID"],
    read({ values, names: [given = ""] }) {
      const [id, name] = [readId("worker", given), readName("tenant", values.tenant)];
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const worker = await api.post(`/workers/${id}/${verb}`, Worker, undefined, { tenantId });
        return { record: worker, text: printableLine(`Worker ${worker.name} ${outcome(worker)}`) };
      };
    },
  });
}

const held = ({ heldCount }: Worker) => heldCount === 0 ? "it holds none" : `it finishes what it holds (${heldCount})`;

export const workerCommands: Readonly<Record<string, CliCommand>> = {
  "worker list": defineCommand({
    help: `\
  worker list                List the machines of a tenant
      --tenant NAME          The tenant (default: default)`,
    options: { tenant: tenantOption },
    read({ values }) {
      const name = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const { workers } = await api.get("/workers", WorkerList, { tenantId });
        return {
          record: { workers },
          text: table(
            ["ID", "NAME", "STATUS", "HOLDS", "CAPABILITIES", "CORDONED"],
            workers.map((worker) => [
              ...[worker.id, worker.name, worker.status, `${worker.heldCount}/${worker.slots}`],
              ...[worker.capabilities.join(","), worker.cordonedAt],
            ]),
          ),
        };
      };
    },
  }),
  "worker resources": defineCommand({
    help: `\
  worker resources           List which machine holds which named resource
      --tenant NAME          The tenant (default: default)`,
    options: { tenant: tenantOption },
    read({ values }) {
      const name = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, name);
        const { resources } = await api.get("/workers/resources", HeldResourceList, { tenantId });
        return {
          record: { resources },
          text: table(
            ["NAME", "WORKER", "STATUS", "BYTES", "SINCE", "UNTIL"],
            resources.map((resource) => [
              ...[resource.name, resource.workerName, resource.workerStatus, resource.sizeBytes],
              ...[resource.acquiredAt, resource.expiresAt],
            ]),
          ),
        };
      };
    },
  }),
  "worker cordon": action(
    "cordon",
    "Give a machine nothing new; it stays online",
    (worker) => `is cordoned: ${held(worker)}`,
  ),
  "worker uncordon": action("uncordon", "Give a cordoned machine jobs again", () => "gets jobs again"),
};
