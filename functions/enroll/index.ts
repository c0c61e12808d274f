import { createTokenSigner } from "../../shared/auth/access-token.ts";
import { createEnrollDb } from "../../shared/db/enroll.ts";
import { createClients, createSqlCall } from "../../shared/db/sql-call.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { createLog } from "../../shared/http/log.ts";
import { supabaseUser } from "../../shared/http/supabase-user.ts";
import { readPlatform, readSigningKey } from "../../shared/platform.ts";
import { createApp } from "./app.ts";

const environment = Deno.env.toObject();
const platform = readPlatform(environment);
const clients = createClients(platform);

const app = createApp({
  db: createEnrollDb(createSqlCall(clients)),
  signer: createTokenSigner(readSigningKey(environment)),
  platform,
  authenticate: authenticate({
    secretKeys: platform.secretKeys,
    getUserId: supabaseUser(clients.bearer),
    allow: ["api_key"],
  }),
  log: createLog(),
});

Deno.serve((request) => app.fetch(request));
