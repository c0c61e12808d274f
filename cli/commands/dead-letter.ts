import {
  type DeadLetter,
  DeadLetterList,
  deadLetterStates,
  type DismissDeadLetters,
  DismissedDeadLetters,
  type ReplayDeadLetters,
  ReplayedDeadLetters,
} from "../../shared/contracts/dead-letters.ts";
import { limits } from "../../shared/contracts/limits.ts";
import { UsageError } from "../../shared/usage-error.ts";
import { allPages, type Api, findTenant } from "../api.ts";
import { defineCommand } from "../define-command.ts";
import { type Outcome, table } from "../outcome.ts";
import { tenantOption } from "../read-options.ts";

const path = "/jobs/dead-letters";
const text = { type: "string" } as const;
const filterOptions = { type: text, "error-code": text, after: text, before: text } as const;
const filterHelp = `\
      --type NAME            Only of jobs of this type
      --error-code CODE      Only of jobs that ended with this error
      --after TIME           Only of jobs that failed after this ISO instant
      --before TIME          Only of jobs that failed before this ISO instant`;
const selectionHelp = `\
      --tenant NAME          The tenant (default: default)
      --id JOB               The letter of this job. Repeat it
${filterHelp}
      --all                  All that are open`;
const selectionOptions = {
  tenant: tenantOption,
  id: { type: "string", multiple: true },
  ...filterOptions,
  all: { type: "boolean" },
} as const;

export const deadLetterCommands = {
  "dead-letter list": defineCommand({
    help: `\
  dead-letter list           Show the jobs that failed for good, newest first
      --tenant NAME          The tenant (default: default)
      --state STATE          open, replayed or dismissed (default: open)
${filterHelp}
      --limit N              How many letters (default: 50)`,
    options: {
      tenant: tenantOption,
      state: { type: "string", default: "open" },
      ...filterOptions,
      limit: { type: "string", default: "50" },
    },
    read({ values: { tenant, state, limit, ...filters } }) {
      if (!deadLetterStates.some((known) => known === state)) {
        throw new UsageError(`Cannot list letters in state "${state}": it must be ${deadLetterStates.join(", ")}`);
      }
      const most = readCount(limit);
      return ({ api }) => list(api, tenant, { state, ...named(filters) }, most);
    },
  }),
  "dead-letter replay": defineCommand({
    help: `\
  dead-letter replay         Submit jobs anew that failed for good; give --id, a filter or --all
${selectionHelp}
      --priority N           The new jobs' priority (default: the old one's)
      --max-attempts N       How often each is tried (default: as before)`,
    options: { ...selectionOptions, priority: text, "max-attempts": text },
    read({ values: { tenant, priority, "max-attempts": maxAttempts, ...selected } }) {
      const selection = readSelection(selected);
      const changes = {
        ...(priority === undefined ? {} : { priority: readNumber("--priority", priority) }),
        ...(maxAttempts === undefined ? {} : { maxAttempts: readNumber("--max-attempts", maxAttempts) }),
      };
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        const jobs: ReplayedDeadLetters["jobs"] = [];
        let skipped = 0;
        await allPages(async (cursor) => {
          const request: ReplayDeadLetters = { ...selection, changes, ...(cursor === undefined ? {} : { cursor }) };
          const answer = await api.post(`${path}/replay`, ReplayedDeadLetters, request, { tenantId });
          jobs.push(...answer.jobs);
          skipped += answer.skipped;
          return { items: answer.jobs, nextCursor: answer.nextCursor };
        });
        return counted("Replayed", jobs.length, skipped, { replayed: jobs.length, skipped, jobs });
      };
    },
  }),
  "dead-letter dismiss": defineCommand({
    help: `\
  dead-letter dismiss        Close letters without repeating their jobs; give --id, a filter or --all
${selectionHelp}`,
    options: selectionOptions,
    read({ values: { tenant, ...selected } }) {
      const selection = readSelection(selected);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        let [dismissed, skipped] = [0, 0];
        await allPages(async (cursor) => {
          const request: DismissDeadLetters = { ...selection, ...(cursor === undefined ? {} : { cursor }) };
          const answer = await api.post(`${path}/dismiss`, DismissedDeadLetters, request, { tenantId });
          dismissed += answer.dismissed;
          skipped += answer.skipped;
          return { items: [], nextCursor: answer.nextCursor };
        });
        return counted("Dismissed", dismissed, skipped, { dismissed, skipped });
      };
    },
  }),
};

async function list(api: Api, tenant: string, filters: Record<string, string>, most: number): Promise<Outcome> {
  const { id: tenantId } = await findTenant(api, tenant);
  const letters: DeadLetter[] = [];
  let cursor: string | undefined;
  do {
    const limit = String(Math.min(most - letters.length, limits.pageSize));
    const page = await api.get(path, DeadLetterList, { tenantId, query: { ...filters, limit, cursor } });
    letters.push(...page.deadLetters);
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined && letters.length < most);
  const rows = letters.map((letter) => [
    letter.jobId,
    letter.type,
    letter.failedAt,
    letter.attempts,
    letter.errorCode,
    letter.errorMessage,
    letter.replayedAs ?? letter.dismissedAt,
  ]);
  const head = [
    "JOB",
    "TYPE",
    "FAILED",
    "ATTEMPTS",
    "ERROR",
    "MESSAGE",
    filters["state"] === "open" ? "" : "DEALT WITH",
  ];
  return { record: { deadLetters: letters }, text: table(head, rows) };
}

function counted(verb: string, count: number, skipped: number, record: Outcome["record"]): Outcome {
  const rest = skipped === 0 ? "" : `; ${skipped} were not open any more`;
  return { record, text: `${verb} ${count} ${count === 1 ? "letter" : "letters"}${rest}` };
}

interface Selected {
  readonly id?: string[] | undefined;
  readonly all?: boolean | undefined;
  readonly type?: string | undefined;
  readonly "error-code"?: string | undefined;
  readonly after?: string | undefined;
  readonly before?: string | undefined;
}

function readSelection({ id = [], all = false, ...filters }: Selected): DismissDeadLetters {
  const filter = named(filters);
  const ways = [id.length > 0, Object.keys(filter).length > 0, all].filter(Boolean).length;
  if (ways !== 1) throw new UsageError("Cannot choose letters: give either --id, or a filter, or --all");
  if (id.length > limits.deadLetters) {
    throw new UsageError(`Cannot choose more than ${limits.deadLetters} letters by --id`);
  }
  return id.length > 0 ? { ids: id } : { filter };
}

/** Those that are given, in the names of the API. */
function named({ "error-code": errorCode, ...others }: Selected): Record<string, string> {
  const given = Object.entries({ ...others, errorCode }).filter((entry): entry is [string, string] =>
    typeof entry[1] === "string"
  );
  return Object.fromEntries(given);
}

function readCount(value: string): number {
  if (/^[1-9]\d{0,5}$/.test(value)) return Number(value);
  throw new UsageError(`Cannot read --limit "${value}": it must be a whole number from 1`);
}

function readNumber(option: string, value: string): number {
  if (/^-?\d{1,3}$/.test(value)) return Number(value);
  throw new UsageError(`Cannot read ${option} "${value}": it must be a whole number`);
}
