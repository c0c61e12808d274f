import { Job } from "../../shared/contracts/jobs.ts";
import {
  catchUps,
  CreateSchedule,
  overlaps,
  Schedule,
  ScheduledRuns,
  ScheduleList,
} from "../../shared/contracts/schedules.ts";
import { limits } from "../../shared/contracts/limits.ts";
import { musterError } from "../../shared/errors.ts";
import { printableLine } from "../../shared/printable.ts";
import { UsageError } from "../../shared/usage-error.ts";
import { allPages, type Api, findTenant } from "../api.ts";
import { type CliCommand, defineCommand } from "../define-command.ts";
import { table } from "../outcome.ts";
import { readCapability, readChoice, readName, tenantOption } from "../read-options.ts";

export const scheduleCommands: Readonly<Record<string, CliCommand>> = {
  "schedule create": defineCommand({
    help: `\
  schedule create NAME       Submit a job again and again
      --tenant NAME          Tenant of the schedule (default: default)
      --cron EXPRESSION      When: minute hour day month weekday, or @daily
      --time-zone ZONE       Whose clocks, such as Europe/Berlin (default: UTC)
      --type TYPE            Type of the job
      --payload JSON         Its payload (default: {})
      --capability NAME      A capability it requires; repeat it
      --job JSON             Anything else of the job, as POST /jobs takes it
      --overlap WHAT         While the last run's job goes on: ${overlaps.join(", ")} (default: allow)
      --catch-up WHAT        Which missed runs are made up for: ${catchUps.join(", ")} (default: last)
      --jitter SECONDS       Start each run up to so much later (default: 0)`,
    options: {
      tenant: tenantOption,
      cron: { type: "string" },
      "time-zone": { type: "string" },
      type: { type: "string" },
      payload: { type: "string" },
      capability: { type: "string", multiple: true },
      job: { type: "string" },
      overlap: { type: "string" },
      "catch-up": { type: "string" },
      jitter: { type: "string" },
    },
    names: ["NAME"],
    read({ values, names: [given = ""] }) {
      const tenant = readName("tenant", values.tenant);
      const job = {
        ...(values.job === undefined ? {} : readObject("job", values.job)),
        ...(values.type === undefined ? {} : { type: values.type }),
        ...(values.payload === undefined ? {} : { payload: readJson("payload", values.payload) }),
        ...(values.capability === undefined ? {} : { requires: values.capability.map(readCapability) }),
      };
      const parsed = CreateSchedule.safeParse({
        name: readName("name", given),
        cron: values.cron,
        job,
        ...(values["time-zone"] === undefined ? {} : { timeZone: values["time-zone"] }),
        ...(values.overlap === undefined ? {} : { overlap: readChoice("overlap", values.overlap, overlaps) }),
        ...(values["catch-up"] === undefined ? {} : { catchUp: readChoice("catch-up", values["catch-up"], catchUps) }),
        ...(values.jitter === undefined ? {} : { jitterSeconds: Number(values.jitter) }),
      });
      if (!parsed.success) {
        const [issue] = parsed.error.issues;
        throw new UsageError(`Cannot use ${issue?.path.join(".") || "the schedule"}: ${issue?.message}`);
      }
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        const schedule = await api.post("/schedules", Schedule, parsed.data, { tenantId });
        return {
          record: { tenant, ...schedule },
          text: printableLine(`Schedule ${schedule.name} runs next at ${schedule.nextRunAt}`),
        };
      };
    },
  }),
  "schedule list": defineCommand({
    help: `\
  schedule list              List the schedules of a tenant
      --tenant NAME          The tenant (default: default)`,
    options: { tenant: tenantOption },
    read({ values }) {
      const tenant = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        const schedules = await allPages(async (cursor) => {
          const query = { limit: String(limits.pageSize), cursor };
          const page = await api.get("/schedules", ScheduleList, { tenantId, query });
          return { items: page.schedules, nextCursor: page.nextCursor };
        });
        return {
          record: { tenantId, tenant, schedules },
          text: table(
            ["NAME", "CRON", "TIME ZONE", "JOB", "NEXT RUN", "LAST RUN", "RUNS", "LAST SKIP"],
            schedules.map((schedule) => [
              ...[schedule.name, schedule.cron, schedule.timeZone, schedule.job.type],
              ...[schedule.pausedAt === null ? schedule.nextRunAt : "paused", schedule.lastRunAt, schedule.runCount],
              schedule.lastSkip === null ? null : `${schedule.lastSkip.reason} ${schedule.lastSkip.runAt}`,
            ]),
          ),
        };
      };
    },
  }),
  "schedule pause": onSchedule("pause", "Let a schedule run no more until it is resumed", async (api, id, tenantId) => {
    const schedule = await api.post(`/schedules/${id}/pause`, Schedule, {}, { tenantId });
    return { record: schedule, text: printableLine(`Schedule ${schedule.name} is paused`) };
  }),
  "schedule resume": onSchedule("resume", "Let a paused schedule run again", async (api, id, tenantId) => {
    const schedule = await api.post(`/schedules/${id}/resume`, Schedule, {}, { tenantId });
    return {
      record: schedule,
      text: printableLine(`Schedule ${schedule.name} runs next at ${schedule.nextRunAt ?? "no time any more"}`),
    };
  }),
  "schedule run": onSchedule("run", "Submit the job of a schedule now", async (api, id, tenantId) => {
    const job = await api.post(`/schedules/${id}/run`, Job, {}, { tenantId });
    return { record: job, text: printableLine(`Job ${job.id} is ${job.status}`) };
  }),
  "schedule delete": onSchedule("delete", "Forget a schedule; its jobs stay", async (api, id, tenantId) => {
    const schedule = await api.delete(`/schedules/${id}`, Schedule, { tenantId });
    return { record: schedule, text: printableLine(`Deleted ${schedule.name}`) };
  }),
  "schedule preview": defineCommand({
    help: `\
  schedule preview CRON      Show when a cron expression would run
      --tenant NAME          The tenant to ask in (default: default)
      --time-zone ZONE       Whose clocks (default: UTC)
      --count N              How many runs (default: 5)`,
    options: {
      tenant: tenantOption,
      "time-zone": { type: "string", default: "UTC" },
      count: { type: "string", default: "5" },
    },
    names: ["CRON"],
    read({ values, names: [cron = ""] }) {
      const tenant = readName("tenant", values.tenant);
      const count = Number(values.count);
      if (!Number.isInteger(count) || count < 1 || count > limits.previewedRuns) {
        throw new UsageError(
          `Cannot read --count "${values.count}": it must be a whole number from 1 to ${limits.previewedRuns}`,
        );
      }
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        const wanted = { cron, timeZone: values["time-zone"], count };
        const { runs } = await api.post("/schedules/preview", ScheduledRuns, wanted, { tenantId });
        return { record: { runs }, text: runs.length === 0 ? "No run to come" : runs.join("\n") };
      };
    },
  }),
};

/** A command on the schedule of a name. */
function onSchedule(
  verb: string,
  what: string,
  act: (api: Api, id: string, tenantId: string) => Promise<{ record: Record<string, unknown>; text: string }>,
): CliCommand {
  return defineCommand({
    help: `\
  ${`schedule ${verb} NAME`.padEnd(27)}${what}
      --tenant NAME          Its tenant (default: default)`,
    options: { tenant: tenantOption },
    names: ["NAME"],
    read({ values, names: [given = ""] }) {
      const [name, tenant] = [readName("name", given), readName("tenant", values.tenant)];
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        const { schedules: [schedule] } = await api.get("/schedules", ScheduleList, { tenantId, query: { name } });
        if (schedule !== undefined) return await act(api, schedule.id, tenantId);
        throw musterError("not_found", `Cannot find schedule "${name}"`, {
          advice: "See npm run muster -- schedule list",
        });
      };
    },
  });
}

function readObject(option: string, value: string): object {
  const read = readJson(option, value);
  if (typeof read === "object" && read !== null && !Array.isArray(read)) return read;
  throw new UsageError(`Cannot read --${option}: it must be a JSON object`);
}

function readJson(option: string, value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    throw new UsageError(`Cannot read --${option}: it must be JSON`);
  }
}
