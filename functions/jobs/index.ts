import { createGatesDb } from "../../shared/db/gates.ts";
import { createJobsDb } from "../../shared/db/jobs.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { functionDeps } from "../../shared/http/function-deps.ts";
import { createApp } from "./app.ts";

const { call, allow, log } = functionDeps(Deno.env.toObject());

const app = createApp({
  db: { ...createJobsDb(call), ...createGatesDb(call) },
  authenticate: authenticate(allow("api_key", "service", "member")),
  log,
});

Deno.serve((request) => app.fetch(request));
