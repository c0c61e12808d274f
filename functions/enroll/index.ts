import { createTokenSigner } from "../../shared/auth/access-token.ts";
import { readSigningKey } from "../../shared/auth/signing-key.ts";
import { createEnrollDb } from "../../shared/db/enroll.ts";
import { createEnrollmentTokensDb } from "../../shared/db/enrollment-tokens.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { functionDeps } from "../../shared/http/function-deps.ts";
import { createApp } from "./app.ts";

const environment = Deno.env.toObject();
const { platform, call, allow, log } = functionDeps(environment);

const app = createApp({
  db: createEnrollDb(call),
  tokens: createEnrollmentTokensDb(call),
  signer: createTokenSigner(readSigningKey(environment)),
  platform,
  authenticate: authenticate(allow("api_key")),
  authenticateOperator: authenticate(allow("api_key", "service", "member")),
  log,
});

Deno.serve((request) => app.fetch(request));
