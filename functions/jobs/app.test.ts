import assert from "node:assert/strict";
import { createGatesDb } from "../../shared/db/gates.ts";
import { createJobsDb } from "../../shared/db/jobs.ts";
import { createClients, createSqlCall } from "../../shared/db/sql-call.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { createLog } from "../../shared/http/log.ts";
import { createApp } from "./app.ts";

const apiKey = `msk_${"k".repeat(43)}`;

/** The app over a Data API that `answer` plays, and the lines it logs. */
function appOver(answer: (request: Request) => Response | Promise<Response>) {
  const lines: string[] = [];
  const clients = createClients({
    url: "http://project.invalid",
    secretKey: "sb_secret_x",
    publishableKey: "sb_publishable_x",
  }, {
    fetch: (input, init) => Promise.resolve(answer(new Request(input, init))),
  });
  const app = createApp({
    db: { ...createJobsDb(createSqlCall(clients)), ...createGatesDb(createSqlCall(clients)) },
    authenticate: authenticate({
      secretKeys: ["sb_secret_x"],
      getUserId: () => Promise.resolve(null),
      allow: ["api_key"],
    }),
    log: createLog({}, { write: (line) => lines.push(line) }),
  });
  const submit = () =>
    app.request("/jobs", {
      method: "POST",
      headers: { "x-api-key": apiKey, "content-type": "application/json", "x-correlation-id": "order-7" },
      body: JSON.stringify({ type: "calc.add", payload: { password: "hunter2" } }),
    });
  return { app, lines, submit };
}

Deno.test("a request costs one call of one SQL function, which is told the key's hash and never the key", async () => {
  const seen: { path: string; profile: string | null; body: Record<string, unknown> }[] = [];
  const { submit } = appOver(async (request) => {
    const body = await request.json();
    seen.push({ path: new URL(request.url).pathname, profile: request.headers.get("content-profile"), body });
    return Response.json({ jobs: [{ job: { id: "1", max_attempts: 3 }, created: true }] });
  });
  const answer = await submit();
  assert.equal(answer.status, 201);
  assert.deepEqual(await answer.json(), { id: "1", maxAttempts: 3 });
  assert.equal(seen.length, 1);
  assert.deepEqual([seen[0]?.path, seen[0]?.profile], ["/rest/v1/rpc/submit_jobs", "muster"]);
  const { caller, jobs, correlation_id } = seen[0]!.body as {
    caller: Record<string, string>;
    jobs: unknown;
    correlation_id: string;
  };
  assert.equal(caller["kind"], "api_key");
  assert.match(caller["hash"] ?? "", /^[0-9a-f]{64}$/);
  assert.deepEqual(jobs, [{ type: "calc.add", payload: { password: "hunter2" } }]);
  assert.equal(correlation_id, "order-7");
});

Deno.test("a database that cannot be reached is 503, to be tried again", async () => {
  const refusals = [
    () => Promise.reject(new TypeError("connection refused")),
    () => new Response("<html>Bad Gateway</html>", { status: 502 }),
    () => Response.json({ code: "57P03", message: "the database system is starting up" }, { status: 503 }),
  ];
  for (const refuse of refusals) {
    const answer = await appOver(refuse).submit();
    assert.deepEqual([answer.status, (await answer.json()).code], [503, "unavailable"]);
  }
});

Deno.test("an unexpected error tells nothing of itself, and the log all but secrets", async () => {
  const { submit, lines } = appOver(() =>
    Response.json({ code: "42P01", message: 'relation "muster.secret_table" does not exist' }, { status: 404 })
  );
  const answer = await submit();
  const text = await answer.text();
  assert.deepEqual([answer.status, JSON.parse(text).code], [500, "internal"]);
  assert.doesNotMatch(text, /secret_table/);
  const logged = lines.map((line) => JSON.parse(line));
  assert.match(JSON.stringify(logged), /secret_table/);
  assert.ok(logged.every(({ correlationId }) => correlationId === "order-7"));
  assert.ok(logged.every(({ time, level, event }) => time !== undefined && level !== undefined && event !== undefined));
  assert.doesNotMatch(lines.join(), new RegExp(`${apiKey}|sb_secret_x|hunter2`));
});

Deno.test("a secret key of ours that is refused is not the caller's fault", async () => {
  const { submit } = appOver(() => Response.json({ message: "Invalid API key" }, { status: 401 }));
  assert.equal((await submit()).status, 500);
  const unknown = appOver(() =>
    Response.json({ code: "MU001", message: "Cannot accept the API key" }, { status: 400 })
  );
  assert.equal((await unknown.submit()).status, 401);
});

Deno.test("waiting for a job ends when the client is gone", async () => {
  let reads = 0;
  const gone = new AbortController();
  const { app } = appOver(() => {
    if (++reads === 3) gone.abort();
    return Response.json({ id: "1", status: "running" });
  });
  const request = new Request(`http://x/jobs/${crypto.randomUUID()}/wait?timeoutSeconds=55`, {
    headers: { "x-api-key": apiKey },
    signal: gone.signal,
  });
  await (await app.request(request)).body?.cancel();
  assert.equal(reads, 3);
});
