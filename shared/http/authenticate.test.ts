import assert from "node:assert/strict";
import { Hono } from "hono";
import { UnsecuredJWT } from "jose";
import { authenticate } from "./authenticate.ts";
import type { Env } from "./env.ts";
import { createLog } from "./log.ts";
import { toProblem } from "./to-problem.ts";

const secretKey = "sb_secret_x";

/** Who the request is from, or the status it is refused with. */
async function callerOf(headers: Record<string, string>): Promise<string | number> {
  const app = new Hono<Env>();
  app.use((c, next) => {
    c.set("log", createLog({}, { write() {} }));
    return next();
  });
  app.use(authenticate({
    secretKeys: [secretKey],
    getUserId: (token) => Promise.resolve(token === user ? "ada" : null),
    allow: ["api_key", "service", "member", "worker"],
  }));
  app.get("/", (c) => c.text(c.var.caller.kind));
  app.onError(toProblem);
  const answer = await app.request("/", { headers });
  return answer.status === 200 ? await answer.text() : answer.status;
}

/** Not signed: whether it is valid is for others to say. */
const token = (claims: Record<string, unknown>) => new UnsecuredJWT(claims).encode();
const user = token({ role: "authenticated", sub: "ada" });
const stale = token({ role: "authenticated", sub: "bea" });

Deno.test("a secret key counts in apikey, as a bearer, and beside the token that a gateway makes of it", async () => {
  const made = token({ role: "service_role" });
  assert.equal(await callerOf({ apikey: secretKey }), "service");
  assert.equal(await callerOf({ authorization: `Bearer ${secretKey}` }), "service");
  assert.equal(await callerOf({ apikey: secretKey, authorization: `Bearer ${secretKey}` }), "service");
  assert.equal(await callerOf({ apikey: secretKey, authorization: `Bearer ${made}` }), "service");
  assert.equal(await callerOf({ apikey: "sb_secret_y", authorization: `Bearer ${made}` }), 401);
  assert.equal(await callerOf({ authorization: `Bearer ${made}` }), 401);
});

Deno.test("a request with a token of somebody's own is theirs, whatever key comes with it", async () => {
  assert.equal(await callerOf({ apikey: secretKey, authorization: `Bearer ${user}` }), "member");
  assert.equal(await callerOf({ apikey: secretKey, authorization: `Bearer ${stale}` }), 401);
  const worker = token({ role: "muster_worker", sub: "w" });
  assert.equal(await callerOf({ apikey: secretKey, authorization: `Bearer ${worker}` }), "worker");
  assert.equal(await callerOf({ apikey: secretKey, "x-api-key": `msk_${"k".repeat(43)}` }), "api_key");
});
