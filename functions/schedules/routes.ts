import { createRoute } from "@hono/zod-openapi";
import { Job } from "../../shared/contracts/jobs.ts";
import {
  ChangeSchedule,
  CreateSchedule,
  ListSchedulesQuery,
  PreviewSchedule,
  RunScheduleHeaders,
  Schedule,
  ScheduledRuns,
  ScheduleList,
  ScheduleParams,
} from "../../shared/contracts/schedules.ts";
import { alsoFails, json, jsonBody, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

const shared = { tags: ["schedules"], security: callers };

export const createSchedule = createRoute({
  ...shared,
  method: "post",
  path: "/",
  operationId: "createSchedule",
  summary: "Make a schedule, which submits a job again and again",
  description:
    "Its first run is the next one from now on. The job is checked as a submission is. Needs the powers `operate` and " +
    "`submit`: a schedule outlasts the key it was made with.",
  ...alsoFails("conflict", "secret_not_allowed"),
  request: { body: jsonBody(CreateSchedule) },
  responses: { 201: json(Schedule, "The schedule"), ...problems },
});

export const listSchedules = createRoute({
  ...shared,
  method: "get",
  path: "/",
  operationId: "listSchedules",
  summary: "List schedules, newest first",
  description: "Without the payloads of their jobs.",
  ...alsoFails(),
  request: { query: ListSchedulesQuery },
  responses: { 200: json(ScheduleList, "A page of schedules"), ...problems },
});

export const previewSchedule = createRoute({
  ...shared,
  method: "post",
  path: "/preview",
  operationId: "previewSchedule",
  summary: "Show when a cron expression would run",
  description: "Stores nothing. Needs the power `read`.",
  ...alsoFails(),
  request: { body: jsonBody(PreviewSchedule) },
  responses: { 200: json(ScheduledRuns, "The next runs"), ...problems },
});

export const getSchedule = createRoute({
  ...shared,
  method: "get",
  path: "/{id}",
  operationId: "getSchedule",
  summary: "Read a schedule and its next five runs",
  description: "The job with its payload, the last run, and the last one that made no job.",
  ...alsoFails(),
  request: { params: ScheduleParams },
  responses: { 200: json(Schedule, "The schedule"), ...problems },
});

export const changeSchedule = createRoute({
  ...shared,
  method: "patch",
  path: "/{id}",
  operationId: "changeSchedule",
  summary: "Change a schedule",
  description:
    "What is left out stays; the job is replaced as a whole. A change of its times puts the next run to the next one " +
    "from now on. Needs the powers `operate` and `submit`.",
  ...alsoFails("conflict", "secret_not_allowed"),
  request: { params: ScheduleParams, body: jsonBody(ChangeSchedule) },
  responses: { 200: json(Schedule, "The schedule"), ...problems },
});

export const deleteSchedule = createRoute({
  ...shared,
  method: "delete",
  path: "/{id}",
  operationId: "deleteSchedule",
  summary: "Forget a schedule; the jobs of its runs stay",
  description: "Needs the power `operate`.",
  ...alsoFails(),
  request: { params: ScheduleParams },
  responses: { 200: json(Schedule, "The schedule as it was"), ...problems },
});

export const pauseSchedule = createRoute({
  ...shared,
  method: "post",
  path: "/{id}/pause",
  operationId: "pauseSchedule",
  summary: "Let a schedule run no more until it is resumed",
  description: "Changes nothing for one that is paused. Needs the power `operate`.",
  ...alsoFails(),
  request: { params: ScheduleParams },
  responses: { 200: json(Schedule, "The schedule"), ...problems },
});

export const resumeSchedule = createRoute({
  ...shared,
  method: "post",
  path: "/{id}/resume",
  operationId: "resumeSchedule",
  summary: "Let a paused schedule run again",
  description: "The runs of the pause are not made up for. Needs the powers `operate` and `submit`.",
  ...alsoFails(),
  request: { params: ScheduleParams },
  responses: { 200: json(Schedule, "The schedule"), ...problems },
});

export const runSchedule = createRoute({
  ...shared,
  method: "post",
  path: "/{id}/run",
  operationId: "runSchedule",
  summary: "Submit the job of a schedule now",
  description: "Whatever its times, its overlap and whether it is paused. Needs the power `submit`.",
  ...alsoFails("conflict", "quota_exceeded", "secret_not_allowed"),
  request: { params: ScheduleParams, headers: RunScheduleHeaders },
  responses: {
    200: json(Job, "The job that the idempotency key had already"),
    201: json(Job, "The new job"),
    ...problems,
  },
});
