import type { Caller } from "../auth/caller.ts";
import type { Job } from "../contracts/jobs.ts";
import type {
  ChangeSchedule,
  CreateSchedule,
  ListSchedulesQuery,
  PreviewSchedule,
  Schedule,
  ScheduledRuns,
  ScheduleList,
} from "../contracts/schedules.ts";
import type { SqlCall } from "./sql-call.ts";

export interface SchedulesDb {
  createSchedule(caller: Caller, schedule: CreateSchedule): Promise<Schedule>;
  listSchedules(caller: Caller, query: ListSchedulesQuery): Promise<ScheduleList>;
  /** With its next runs. */
  getSchedule(caller: Caller, scheduleId: string): Promise<Schedule>;
  changeSchedule(caller: Caller, scheduleId: string, changes: ChangeSchedule): Promise<Schedule>;
  deleteSchedule(caller: Caller, scheduleId: string): Promise<Schedule>;
  pauseSchedule(caller: Caller, scheduleId: string): Promise<Schedule>;
  resumeSchedule(caller: Caller, scheduleId: string): Promise<Schedule>;
  runSchedule(
    caller: Caller,
    scheduleId: string,
    idempotencyKey: string | null,
  ): Promise<{ readonly job: Job; readonly created: boolean }>;
  previewSchedule(caller: Caller, preview: PreviewSchedule): Promise<ScheduledRuns>;
}

export function createSchedulesDb(call: SqlCall): SchedulesDb {
  return {
    createSchedule: (caller, schedule) => call("create_schedule", { schedule }, caller),
    listSchedules: (caller, { name, limit, cursor }) =>
      call("list_schedules", { name: name ?? null, pageSize: limit, cursor: cursor ?? null }, caller),
    getSchedule: (caller, scheduleId) => call("get_schedule", { scheduleId }, caller),
    changeSchedule: (caller, scheduleId, changes) => call("change_schedule", { scheduleId, changes }, caller),
    deleteSchedule: (caller, scheduleId) => call("delete_schedule", { scheduleId }, caller),
    pauseSchedule: (caller, scheduleId) => call("pause_schedule", { scheduleId }, caller),
    resumeSchedule: (caller, scheduleId) => call("resume_schedule", { scheduleId }, caller),
    runSchedule: (caller, scheduleId, idempotencyKey) => call("run_schedule", { scheduleId, idempotencyKey }, caller),
    previewSchedule: (caller, { cron, timeZone = "UTC", count = 5, after }) =>
      call("preview_schedule", { cron, timeZone, count, after: after ?? null }, caller),
  };
}
