import { createLimitsDb } from "../../shared/db/limits.ts";
import { createTenantsDb } from "../../shared/db/tenants.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { functionDeps } from "../../shared/http/function-deps.ts";
import { createApp } from "./app.ts";

const { call, allow, log } = functionDeps(Deno.env.toObject());

const app = createApp({
  db: createTenantsDb(call),
  limits: createLimitsDb(call),
  authenticate: authenticate(allow("api_key", "service", "member")),
  log,
});

Deno.serve((request) => app.fetch(request));
