import { createSchedulesDb } from "../../shared/db/schedules.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { functionDeps } from "../../shared/http/function-deps.ts";
import { createApp } from "./app.ts";

const { call, allow, log } = functionDeps(Deno.env.toObject());

const app = createApp({
  db: createSchedulesDb(call),
  authenticate: authenticate(allow("api_key", "service", "member")),
  log,
});

Deno.serve((request) => app.fetch(request));
