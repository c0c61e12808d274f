import { Explanation } from "../../shared/contracts/explain.ts";
import { SubmitJob } from "../../shared/contracts/jobs.ts";
import { UsageError } from "../../shared/usage-error.ts";
import { findTenant } from "../api.ts";
import { type CliCommand, defineCommand } from "../define-command.ts";
import { type Outcome, table } from "../outcome.ts";
import { readId, readName, tenantOption } from "../read-options.ts";

export const jobCommands: Readonly<Record<string, CliCommand>> = {
  "job explain": defineCommand({
    help: `\
  job explain ID             Say why a job is not running
      --tenant NAME          Its tenant (default: default)`,
    options: { tenant: tenantOption },
    names: ["ID"],
    read({ values, names: [given = ""] }) {
      const [id, tenant] = [readId("job", given), readName("tenant", values.tenant)];
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        return outcomeOf(await api.get(`/jobs/${id}/explain`, Explanation, { tenantId }));
      };
    },
  }),
  "job try": defineCommand({
    help: `\
  job try FILE               Say what would become of a job if it were submitted
                             now. FILE has it as JSON, as POST /jobs takes it
      --tenant NAME          The tenant (default: default)`,
    options: { tenant: tenantOption },
    names: ["FILE"],
    read({ values, names: [path = ""] }) {
      const tenant = readName("tenant", values.tenant);
      return async ({ api }) => {
        const job = await readJob(path);
        const { id: tenantId } = await findTenant(api, tenant);
        return outcomeOf(await api.post("/jobs/explain", Explanation, job, { tenantId }));
      };
    },
  }),
};

async function readJob(path: string): Promise<SubmitJob> {
  let json: unknown;
  try {
    json = JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    const reason = error instanceof SyntaxError ? "it must be JSON" : "there is no such file";
    throw new UsageError(`Cannot read "${path}": ${reason}`);
  }
  const parsed = SubmitJob.safeParse(json);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`Cannot use ${issue?.path.join(".") || "the job"} of "${path}": ${issue?.message}`);
}

function outcomeOf(explanation: Explanation): Outcome {
  const { summary, gates, workers, counts, relaxations, estimate } = explanation;
  const parts = [summary];
  if (gates.length > 0) {
    parts.push(table(["GATE", "STATE", "DETAILS"], gates.map((gate) => [gate.gate, gate.state, detailsOf(gate)])));
  }
  if (workers.length > 0) {
    parts.push(table(
      ["WORKER", "STATUS", "VERDICT", "SLOTS", "FAILS", "WANTED", "HAS"],
      workers.map(({ name, status, verdict, slots, heldSlots, failed }) => [
        ...[name, status, verdict, `${heldSlots}/${slots}`],
        ...[failed === null ? null : `${failed.predicate} ${failed.name}`, failed?.wanted ?? null, failed?.has ?? null],
      ]),
    ));
  }
  if (counts.examined < counts.total) parts.push(`${counts.total - counts.examined} more workers were not looked at`);
  if (relaxations.length > 0) {
    parts.push(table(
      ["COST", "WORKERS", "WOULD DO AFTER", "FOR EXAMPLE"],
      relaxations.map(({ cost, workers, changes, example }) => [
        ...[cost, workers, changes.map(changeText).join(", "), example.name],
      ]),
    ));
  }
  if (estimate !== null) {
    parts.push(
      estimate.reason === null
        ? `Expected to start at ${estimate.expectedAt}, at ${estimate.earliestAt} at the earliest (${estimate.basis.samples} samples)`
        : `Nobody can say when it starts: ${estimate.reason}`,
    );
  }
  return { record: explanation, text: parts.join("\n\n") };
}

function detailsOf({ gate: _gate, state: _state, ...details }: Explanation["gates"][number]): string {
  return Object.entries(details)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(", ");
}

function changeText({ change, name, wanted, to }: Explanation["relaxations"][number]["changes"][number]): string {
  const words = change.replaceAll("_", " ");
  if (change === "lower_resource") return `${words} ${name} from ${wanted} to ${to ?? 0}`;
  return name === undefined ? words : `${words} ${wanted ?? name}`;
}
