import assert from "node:assert/strict";
import { Job } from "../../shared/contracts/jobs.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { project } from "../support/project.ts";
import { type ApiAnswer, createApp, createEnrollmentToken } from "../support/tenant.ts";

/** Inserts rows into muster.jobs through the Data API. */
async function insert(rows: unknown, { key = project.secretKey, query = "" } = {}): Promise<ApiAnswer> {
  const response = await fetch(`${project.url}/rest/v1/jobs${query}`, {
    method: "POST",
    headers: {
      apikey: key,
      authorization: `Bearer ${key}`,
      "content-type": "application/json",
      "content-profile": "muster",
      prefer: "return=representation",
    },
    body: JSON.stringify(rows),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === "" ? undefined : JSON.parse(text) };
}

Deno.test("POST /rest/v1/jobs with the secret key makes jobs that a worker is given and an app reads", async () => {
  const { api, tenant } = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { rpc } = await enrollDevice(enrollmentToken);
  await rpc("hello", { worker: { capabilities: ["compute/basic"], slots: 2, listening: false }, running: [] });
  const rows = [
    { tenant_id: tenant.id, type: "calc.add", payload: { a: 2, b: 3 }, requires: ["compute/basic"], priority: 1 },
    { tenant_id: tenant.id, type: "calc.mul", payload: [1], requires: [], priority: 0 },
  ];
  const { status, body } = await insert(rows);
  assert.equal(status, 201, JSON.stringify(body));
  const read = await api(`/jobs/${body[0].id}`);
  const job = Job.parse(read.body);
  assert.deepEqual([job.status, job.payload, job.executorId], ["queued", { a: 2, b: 3 }, null]);
  const jobs = await claimJobs(rpc, 2);
  assert.deepEqual(jobs.map(({ type }: { type: string }) => type), ["calc.add", "calc.mul"]);
});

Deno.test("POST /rest/v1/jobs refuses a bad row with what the API says of it, and stores none of the others", async () => {
  const { api, tenant } = await createApp();
  const good = { tenant_id: tenant.id, type: "calc.add" };
  const bad = await insert([good, { tenant_id: tenant.id, type: "not a type" }]);
  // By the message: the local Data API keeps the code of an error to itself where PostgREST tells it.
  assert.ok(bad.status >= 400, String(bad.status));
  assert.match(bad.body.message, /Cannot submit job 0: its type must be 1 to 200 letters/);
  const unknown = await insert({ tenant_id: crypto.randomUUID(), type: "calc.add" });
  assert.match(unknown.body.message, /Cannot find tenant/);
  assert.deepEqual((await api("/jobs")).body.jobs, []);
});

Deno.test("POST /rest/v1/jobs is for the secret key alone, and not for what became of a job", async () => {
  const { api, tenant } = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { enrolled } = await enrollDevice(enrollmentToken);
  const row = { tenant_id: tenant.id, type: "calc.add" };
  for (const key of [project.publishableKey, enrolled.accessToken]) {
    const answer = await insert(row, { key });
    assert.ok([401, 403].includes(answer.status), `${answer.status}: ${JSON.stringify(answer.body)}`);
  }
  const answer = await insert({ ...row, status: "succeeded" });
  assert.equal(answer.body.code, "42501", JSON.stringify(answer.body));
  assert.deepEqual((await api("/jobs")).body.jobs, []);
});
