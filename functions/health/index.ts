import { createArtifactStore } from "../../shared/artifact-store.ts";
import { createHealthDb } from "../../shared/db/health.ts";
import { createClients, createSqlCall } from "../../shared/db/sql-call.ts";
import { findCaller } from "../../shared/http/authenticate.ts";
import { createLog } from "../../shared/http/log.ts";
import { supabaseUser } from "../../shared/http/supabase-user.ts";
import { readPlatform } from "../../shared/platform.ts";
import { createApp } from "./app.ts";

const platform = readPlatform(Deno.env.toObject());
const clients = createClients(platform);

const app = createApp({
  db: createHealthDb(createSqlCall(clients)),
  store: createArtifactStore(clients.service, platform),
  findCaller: findCaller({
    secretKeys: platform.secretKeys,
    getUserId: supabaseUser(clients.bearer),
    allow: ["api_key", "service", "member"],
  }),
  log: createLog(),
});

Deno.serve((request) => app.fetch(request));
