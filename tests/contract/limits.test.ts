import assert from "node:assert/strict";
import { addLimits } from "../../functions/tenants/limits.ts";
import { limits } from "../../shared/contracts/limits.ts";
import { LimitsDocument } from "../../shared/contracts/tenant-limits.ts";
import { createLimitsDb } from "../../shared/db/limits.ts";
import { createClients, createSqlCall } from "../../shared/db/sql-call.ts";
import { RateLimitedError } from "../../shared/errors.ts";
import { createApi } from "../../shared/http/api.ts";
import { authenticate } from "../../shared/http/authenticate.ts";
import { createLog } from "../../shared/http/log.ts";
import { MusterClient } from "../../worker/index.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { api, createApp, createEnrollmentToken } from "../support/tenant.ts";

const call = createSqlCall(createClients(project));

function setLimits(tenantId: string, values: Record<string, number>): Promise<LimitsDocument> {
  return createLimitsDb(call).setLimits({ kind: "service", tenantId }, values);
}

Deno.test("a flood by one key gets 429 with Retry-After, and another tenant's jobs are submitted and done meanwhile", async () => {
  const [flooder, neighbour] = [await createApp("flooder"), await createApp("neighbour")];
  await setLimits(flooder.tenant.id, { apiKeyRate: 1, apiKeyBurst: 8 });
  const { enrollmentToken } = await createEnrollmentToken(neighbour.tenant.id);
  const { rpc: worker } = await enrollDevice(enrollmentToken);
  await worker("hello", { worker: { slots: 10 }, running: [] });

  const flood = Promise.all(Array.from({ length: 80 }, () => flooder.api("/jobs", { json: { type: "flood" } })));
  const done = await Promise.all(Array.from({ length: 10 }, async () => {
    const { status, body: job } = await neighbour.api("/jobs", { json: { type: "calc.add" } });
    assert.equal(status, 201);
    return job.id as string;
  }));
  const jobs = await claimJobs(worker, 10);
  const results = jobs.map(({ job_id, attempt }: { job_id: string; attempt: number }) => ({
    ...{ job_id, attempt, status: "succeeded", result: {} },
  }));
  await worker("complete_jobs", { results, want: 10 });
  for (const id of done) assert.equal((await neighbour.api(`/jobs/${id}/wait`)).body.status, "succeeded");

  const answers = await flood;
  const refused = answers.filter(({ status }) => status === 429);
  assert.equal(answers.length, refused.length + answers.filter(({ status }) => status === 201).length);
  assert.ok(refused.length >= 20, `${refused.length} of 80 were refused`);
  for (const answer of refused) {
    assertProblem(answer, "rate_limited");
    assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
    assert.equal(answer.body.retryAfterSeconds, Number(answer.headers.get("retry-after")));
    assert.match(answer.headers.get("access-control-expose-headers") ?? "", /retry-after/);
  }
});

Deno.test("what the database refuses is counted as well, and a request that asks again and again only once", async () => {
  const { tenant, api: app } = await createApp();
  await setLimits(tenant.id, { apiKeyRate: 1, apiKeyBurst: 8 });
  const { body: job } = await app("/jobs", { json: { type: "test" } });
  // Reads the job a dozen times.
  assert.equal((await app(`/jobs/${job.id}/wait?timeoutSeconds=1.5`)).status, 200);
  const statuses: number[] = [];
  for (let n = 0; n < 60 && statuses.at(-1) !== 429; n++) {
    statuses.push((await app(`/jobs/${crypto.randomUUID()}`)).status);
  }
  assert.ok(statuses.slice(0, 3).every((status) => status === 404), statuses.join());
  assert.equal(statuses.at(-1), 429);
});

Deno.test("MusterClient waits as long as it is told and then goes on, without an idempotency key too", async () => {
  const { tenant, key } = await createApp();
  await setLimits(tenant.id, { apiKeyRate: 5, apiKeyBurst: 4 });
  let refusals = 0;
  const client = new MusterClient({
    url: project.url,
    apiKey: key.apiKey,
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      if (response.status === 429) refusals++;
      return response;
    },
  });
  for (let n = 0; n < 20; n++) await client.submit({ type: "test" });
  assert.equal((await client.list()).jobs.length, 20);
  assert.ok(refusals > 0);
});

Deno.test("a full quota is 429 and quota_exceeded; jobs that exist are answered all the same", async () => {
  const { tenant, api: app } = await createApp();
  await setLimits(tenant.id, { waitingJobs: 2 });
  const jobs = [{ type: "a", idempotencyKey: "1" }, { type: "a", idempotencyKey: "2" }];
  assert.equal((await app("/jobs", { json: { jobs } })).status, 201);
  const answer = await app("/jobs", { json: { type: "a" } });
  assertProblem(answer, "quota_exceeded");
  assert.match(answer.headers.get("retry-after") ?? "", /^[1-9]\d*$/);
  const again = await app("/jobs", { json: { jobs } });
  assert.deepEqual(again.body.jobs.map(({ created }: { created: boolean }) => created), [false, false]);
});

Deno.test("a worker that hammers is told so by the Data API with the seconds to wait", async () => {
  const { tenant } = await createApp();
  await setLimits(tenant.id, { workerRate: 1, workerBurst: 4 });
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { rpc } = await enrollDevice(enrollmentToken);
  const answers = await Promise.allSettled(Array.from({ length: 20 }, () => rpc("claim_jobs", { want: 1 })));
  const refused = answers.flatMap((answer) => answer.status === "rejected" ? [answer.reason] : []);
  assert.ok(refused.length >= 10, `${refused.length} of 20 were refused`);
  for (const error of refused) {
    assert.ok(error instanceof RateLimitedError);
    assert.ok(error.retryAfterSeconds! >= 1);
  }
});

Deno.test("limits are read with any key that may read, and set with the secret key alone", async () => {
  const { tenant, key } = await createApp();
  const app = createApi({ name: "tenants", title: "Tenants", log: createLog({}, { write: () => {} }) });
  app.use(authenticate({
    secretKeys: [project.secretKey],
    getUserId: () => Promise.resolve(null),
    allow: ["api_key", "service", "member"],
  }));
  addLimits(app, createLimitsDb(call));
  const request = async (bearer: string, json?: unknown) => {
    const response = await app.request("/tenants/limits", {
      method: json === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${bearer}`, "content-type": "application/json", "x-tenant-id": tenant.id },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
    });
    return { status: response.status, headers: response.headers, body: await response.json() };
  };
  const usual = LimitsDocument.parse((await request(key.apiKey)).body);
  assert.deepEqual([usual.changed, usual.limits.apiKeyRate], [[], 200]);
  assertProblem(await request(key.apiKey, { workers: 1 }), "forbidden");
  assertProblem(await request(project.secretKey, { workers: -1 }), "invalid_request");
  assertProblem(await request(project.secretKey, { slaves: 1 }), "invalid_request");
  const changed = LimitsDocument.parse((await request(project.secretKey, { workers: 1, artifactBytes: 5 })).body);
  assert.deepEqual([changed.changed, changed.limits.workers], [["artifactBytes", "workers"], 1]);
  assert.deepEqual(LimitsDocument.parse((await request(key.apiKey)).body), changed);
});

Deno.test("headers and paths of any length are refused or ignored, never an unexpected error", async () => {
  const { api: app, key } = await createApp();
  const long = "x".repeat(7000);
  for (const path of [`/jobs/${long}`, `/jobs?type=${long}`, `/jobs?cursor=${long}`, `/jobs?${long}=1`, `/${long}`]) {
    const { status } = await app(path);
    assert.ok(status >= 400 && status < 500, `${path.slice(0, 20)}: ${status}`);
  }
  for (const name of ["x-correlation-id", "x-tenant-id", "idempotency-key", "x-api-key"]) {
    const { status } = await api(key.apiKey, { [name]: long })("/jobs", { json: { type: "test" } });
    assert.ok(status < 500, `${name}: ${status}`);
  }
  assertProblem(
    await app("/jobs", { json: { type: "t", correlationId: "x".repeat(limits.keyLength + 1) } }),
    "invalid_request",
  );
});
