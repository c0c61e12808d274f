import type { z } from "zod";
import { Job } from "../shared/contracts/jobs.ts";
import {
  type ChangeSchedule,
  type CreateSchedule,
  type PreviewSchedule,
  Schedule,
  ScheduledRuns,
  ScheduleList,
} from "../shared/contracts/schedules.ts";

export type { ChangeSchedule, CreateSchedule, Schedule, ScheduledJob } from "../shared/contracts/schedules.ts";

/** How the client calls the functions. */
export type ClientCall = <T extends z.ZodType>(
  method: string,
  path: string,
  schema: T,
  options?: { json?: unknown; repeat?: boolean },
) => Promise<z.output<T>>;

/** Jobs that are submitted again and again. Making, changing and resuming them takes a key that may operate and submit. */
export class Schedules {
  readonly #call: ClientCall;

  constructor(call: ClientCall) {
    this.#call = call;
  }

  async create(schedule: CreateSchedule): Promise<Schedule> {
    return await this.#call("POST", "/schedules", Schedule, { json: schedule });
  }

  /** A page of schedules, newest first. */
  async list(options: { name?: string; limit?: number; cursor?: string } = {}): Promise<z.output<typeof ScheduleList>> {
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(options)) if (value !== undefined) query.set(name, String(value));
    return await this.#call("GET", `/schedules?${query}`, ScheduleList);
  }

  /** With its next runs. */
  async get(scheduleId: string): Promise<Schedule> {
    return await this.#call("GET", pathOf(scheduleId), Schedule);
  }

  /** Changes what is named; the job is replaced as a whole. */
  async change(scheduleId: string, changes: ChangeSchedule): Promise<Schedule> {
    return await this.#call("PATCH", pathOf(scheduleId), Schedule, { json: changes, repeat: true });
  }

  async pause(scheduleId: string): Promise<Schedule> {
    return await this.#call("POST", `${pathOf(scheduleId)}/pause`, Schedule, { json: {}, repeat: true });
  }

  async resume(scheduleId: string): Promise<Schedule> {
    return await this.#call("POST", `${pathOf(scheduleId)}/resume`, Schedule, { json: {}, repeat: true });
  }

  /** Submits the job now; answers it. */
  async run(scheduleId: string): Promise<Job> {
    return await this.#call("POST", `${pathOf(scheduleId)}/run`, Job, { json: {} });
  }

  /** Forgets the schedule; its jobs stay. */
  async delete(scheduleId: string): Promise<Schedule> {
    return await this.#call("DELETE", pathOf(scheduleId), Schedule);
  }

  /** When an expression would run; nothing is stored. */
  async preview(preview: PreviewSchedule): Promise<readonly string[]> {
    return (await this.#call("POST", "/schedules/preview", ScheduledRuns, { json: preview, repeat: true })).runs;
  }
}

function pathOf(scheduleId: string): string {
  return `/schedules/${encodeURIComponent(scheduleId)}`;
}
