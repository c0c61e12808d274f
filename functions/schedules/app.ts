import type { MiddlewareHandler } from "hono";
import { limits } from "../../shared/contracts/limits.ts";
import type { SchedulesDb } from "../../shared/db/schedules.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Env } from "../../shared/http/env.ts";
import { limitBody } from "../../shared/http/limit-body.ts";
import type { Log } from "../../shared/http/log.ts";
import {
  changeSchedule,
  createSchedule,
  deleteSchedule,
  getSchedule,
  listSchedules,
  pauseSchedule,
  previewSchedule,
  resumeSchedule,
  runSchedule,
} from "./routes.ts";

export interface Deps {
  readonly db: SchedulesDb;
  readonly authenticate: MiddlewareHandler<Env>;
  readonly log: Log;
}

/** Builds the schedules API over the given dependencies; it reads no environment. */
export function createApp({ db, authenticate, log }: Deps) {
  const app = createApi({ name: "schedules", title: "Muster: schedules", log });
  app.use(authenticate, limitBody(limits.bodyBytes));

  return app
    .openapi(createSchedule, async (c) => {
      const schedule = await db.createSchedule(c.var.caller, c.req.valid("json"));
      c.var.log("info", "schedule.created", { scheduleId: schedule.id });
      return c.json(schedule, 201);
    })
    .openapi(listSchedules, async (c) => c.json(await db.listSchedules(c.var.caller, c.req.valid("query")), 200))
    .openapi(previewSchedule, async (c) => c.json(await db.previewSchedule(c.var.caller, c.req.valid("json")), 200))
    .openapi(getSchedule, async (c) => c.json(await db.getSchedule(c.var.caller, c.req.valid("param").id), 200))
    .openapi(changeSchedule, async (c) => {
      const schedule = await db.changeSchedule(c.var.caller, c.req.valid("param").id, c.req.valid("json"));
      c.var.log("info", "schedule.changed", { scheduleId: schedule.id });
      return c.json(schedule, 200);
    })
    .openapi(deleteSchedule, async (c) => {
      const schedule = await db.deleteSchedule(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "schedule.deleted", { scheduleId: schedule.id });
      return c.json(schedule, 200);
    })
    .openapi(pauseSchedule, async (c) => {
      const schedule = await db.pauseSchedule(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "schedule.paused", { scheduleId: schedule.id });
      return c.json(schedule, 200);
    })
    .openapi(resumeSchedule, async (c) => {
      const schedule = await db.resumeSchedule(c.var.caller, c.req.valid("param").id);
      c.var.log("info", "schedule.resumed", { scheduleId: schedule.id });
      return c.json(schedule, 200);
    })
    .openapi(runSchedule, async (c) => {
      const { id } = c.req.valid("param");
      const idempotencyKey = c.req.valid("header")["idempotency-key"] ?? null;
      const { job, created } = await db.runSchedule(c.var.caller, id, idempotencyKey);
      c.var.log("info", "schedule.run", { scheduleId: id, jobId: job.id, created });
      return c.json(job, created ? 201 : 200);
    });
}
