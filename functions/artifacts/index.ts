import { createArtifactStore } from "../../shared/artifact-store.ts";
import { createArtifactsDb } from "../../shared/db/artifacts.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { functionDeps } from "../../shared/http/function-deps.ts";
import { createApp } from "./app.ts";

const { platform, clients, call, allow, log } = functionDeps(Deno.env.toObject());

const app = createApp({
  db: createArtifactsDb(call),
  store: createArtifactStore(clients.service, platform),
  authenticate: authenticate(allow("api_key", "service", "member", "worker")),
  log,
});

Deno.serve((request) => app.fetch(request));
