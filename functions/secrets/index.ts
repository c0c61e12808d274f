import { createSecretsDb } from "../../shared/db/secrets.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { functionDeps } from "../../shared/http/function-deps.ts";
import { createApp } from "./app.ts";
import { readMasterKeys } from "./master-keys.ts";
import { createVault } from "./vault.ts";

const environment = Deno.env.toObject();
const { call, allow, log } = functionDeps(environment);

const app = createApp({
  db: createSecretsDb(call),
  vault: createVault(readMasterKeys(environment)),
  authenticate: authenticate(allow("api_key", "service", "member")),
  authenticateWorker: authenticate(allow("worker")),
  authenticateService: authenticate(allow("service")),
  log,
});

Deno.serve((request) => app.fetch(request));
