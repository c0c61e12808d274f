import assert from "node:assert/strict";
import { Job } from "../../shared/contracts/jobs.ts";
import { Worker } from "../../shared/contracts/workers.ts";
import { SlotsExceededError } from "../../shared/errors.ts";
import type { Answer } from "../support/database.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { createApp, createEnrollmentToken } from "../support/tenant.ts";

Deno.test("a job goes to the worker whose labels are as it says, and tells what it asked for", async () => {
  const { api, tenant } = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const [older, newer] = [await enrollDevice(enrollmentToken), await enrollDevice(enrollmentToken)];
  await older.rpc("hello", { worker: { labels: { cuda: "11.8.0", site: "lab" } }, running: [] });
  await newer.rpc("hello", { worker: { labels: { cuda: "12.4.1", site: "home" } }, running: [] });
  const asked = {
    where: [
      { label: "cuda", operator: "semver", value: "^12.2" },
      { label: "site", operator: "notIn", values: ["attic", "lab"] },
    ],
    prefer: [{ label: "ram_gb", operator: ">=", value: 64, weight: 10 }],
    resources: { slots: 1 },
  };
  const submitted = await api("/jobs", { json: { type: "a", ...asked } });
  assert.equal(submitted.status, 201, JSON.stringify(submitted.body));
  const job = Job.parse(submitted.body);
  assert.deepEqual({ where: job.where, prefer: job.prefer, resources: job.resources }, asked);
  assert.deepEqual(await claimJobs(older.rpc), []);
  assert.deepEqual((await claimJobs(newer.rpc)).map((each: Answer) => each.job_id), [job.id]);
});

Deno.test("a job may take resources of its worker, which get free when it ends", async () => {
  const { api, tenant } = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { rpc, enrolled } = await enrollDevice(enrollmentToken, { slots: 4 });
  await rpc("hello", { worker: { slots: 4, resources: { gpu: 1, vram_gb: 24 } }, running: [] });
  const asked = { type: "a", resources: { gpu: 0.5, vram_gb: 10, slots: 2 } };
  await api("/jobs", { json: { jobs: [asked, asked, asked] } });
  const held = await claimJobs(rpc, 4);
  assert.equal(held.length, 2);
  const shown = Worker.strict().parse((await api(`/workers/${enrolled.workerId}`)).body);
  assert.deepEqual([shown.resources, shown.heldResources], [{ gpu: 1, vram_gb: 24 }, { gpu: 1, vram_gb: 20 }]);
  assert.deepEqual([shown.slots, shown.heldCount], [4, 4]);
  const running = held.map(({ job_id, attempt }: Answer) => ({ job_id, attempt }));
  await assert.rejects(
    rpc("hello", { worker: { slots: 4, resources: { gpu: 1, vram_gb: 19 } }, running }),
    SlotsExceededError,
  );
  await rpc("complete_jobs", { results: [{ ...running[0], status: "succeeded", result: {} }], want: 0 });
  const after = Worker.strict().parse((await api(`/workers/${enrolled.workerId}`)).body);
  assert.deepEqual(after.heldResources, { gpu: 0.5, vram_gb: 10 });
  assert.equal((await claimJobs(rpc, 4)).length, 1);
});

Deno.test("a job may require what is granted or measured, and an operator records what was measured", async () => {
  const { api, tenant } = await createApp();
  const { enrollmentToken: any } = await createEnrollmentToken(tenant.id);
  const { enrollmentToken: some } = await createEnrollmentToken(tenant.id, { capabilities: ["gpu/a100"] });
  const claiming = await enrollDevice(any, { capabilities: ["gpu/a100"] });
  const granted = await enrollDevice(some, { capabilities: ["gpu/a100"] });
  for (const { rpc } of [claiming, granted]) await rpc("hello", { worker: {}, running: [] });
  const submit = async (...requires: string[]) => (await api("/jobs", { json: { type: "a", requires } })).body.id;

  const forGranted = await submit("gpu/a100@granted");
  assert.deepEqual(await claimJobs(claiming.rpc), []);
  assert.deepEqual((await claimJobs(granted.rpc)).map((each: Answer) => each.job_id), [forGranted]);

  const forMeasured = await submit("gpu/a100@measured");
  assert.deepEqual(await claimJobs(claiming.rpc), []);
  const path = `/workers/${claiming.enrolled.workerId}`;
  const measured = await api(`${path}/measured-capabilities`, { method: "PUT", json: { capabilities: ["gpu/a100"] } });
  assert.equal(measured.status, 200, JSON.stringify(measured.body));
  const shown = Worker.strict().parse((await api(path)).body);
  assert.deepEqual([shown.grantedCapabilities, shown.measuredCapabilities], [[], ["gpu/a100"]]);
  assert.deepEqual((await claimJobs(claiming.rpc)).map((each: Answer) => each.job_id), [forMeasured]);
  const { body: other } = await api(`/workers/${granted.enrolled.workerId}`);
  assert.deepEqual([other.grantedCapabilities, other.measuredCapabilities], [["gpu/a100"], []]);
});

Deno.test("what a job may not ask for is refused with the field, and nothing is stored", async () => {
  const { api } = await createApp();
  const bad: Record<string, unknown>[] = [
    { requires: ["a@claimed"] },
    { requires: ["a@Granted"] },
    { where: [{ label: "l", operator: "like", value: "x" }] },
    { where: [{ label: "l", operator: "=", value: 1 }] },
    { where: [{ label: "l", operator: "=", value: "x", weight: 1 }] },
    { where: [{ label: "l", operator: "exists", value: "x" }] },
    { where: [{ label: "l", operator: "<", value: "1" }] },
    { where: [{ label: "l", operator: "in", values: [] }] },
    { where: [{ label: "l", operator: "semver", value: "latest" }] },
    { where: [{ label: "l", operator: "matches", value: "(" }] },
    { where: [{ label: "l", operator: "matches", value: "(a{1,9}){1,9}" }] },
    { prefer: [{ label: "l", operator: "exists" }] },
    { prefer: [{ label: "l", operator: "exists", weight: 101 }] },
    { resources: { gpu: 0 } },
    { resources: { gpu: 1e-7 } },
    { resources: { GPU: 1 } },
    { resources: { slots: 1.5 } },
    { resources: { slots: 257 } },
    { resources: Object.fromEntries(Array.from({ length: 21 }, (_, n) => [`r${n}`, 1])) },
  ];
  for (const fields of bad) assertProblem(await api("/jobs", { json: { type: "a", ...fields } }), "invalid_request");
  const costly = Array.from({ length: 6 }, (_, n) => ({ label: "l", operator: "semver", value: `^${n}` }));
  const many = Array.from({ length: 21 }, () => ({ label: "l", operator: "exists" }));
  for (const where of [costly, many]) assertProblem(await api("/jobs", { json: { type: "a", where } }), "too_many");
  assert.deepEqual((await api("/jobs")).body.jobs, []);
});

Deno.test("what may not be recorded as measured is refused", async () => {
  const { api, tenant } = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { enrolled } = await enrollDevice(enrollmentToken);
  const put = (json: unknown, id = enrolled.workerId) =>
    api(`/workers/${id}/measured-capabilities`, { method: "PUT", json });
  for (
    const json of [{}, { capabilities: "a" }, { capabilities: ["A"] }, { capabilities: ["a@granted"] }, {
      capabilities: [],
      more: 1,
    }]
  ) {
    assertProblem(await put(json), "invalid_request");
  }
  assertProblem(await put({ capabilities: [] }, crypto.randomUUID()), "not_found");
});
