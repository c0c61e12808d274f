import { createArtifactStore } from "../../shared/artifact-store.ts";
import { createHealthDb } from "../../shared/db/health.ts";
import { findCaller } from "../../shared/http/authenticate.ts";
import { functionDeps } from "../../shared/http/function-deps.ts";
import { createApp } from "./app.ts";

const { platform, clients, call, allow, log } = functionDeps(Deno.env.toObject());

const app = createApp({
  db: createHealthDb(call),
  store: createArtifactStore(clients.service, platform),
  findCaller: findCaller(allow("api_key", "service", "member")),
  log,
});

Deno.serve((request) => app.fetch(request));
