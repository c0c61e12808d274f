import assert from "node:assert/strict";
import postgres from "postgres";
import { Job } from "../../shared/contracts/jobs.ts";
import { catchUps, overlaps, Schedule, ScheduledRuns, ScheduleList } from "../../shared/contracts/schedules.ts";
import { MusterClient } from "../../worker/index.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { createApiKey, createApp } from "../support/tenant.ts";

const nightly = {
  name: "nightly",
  cron: "30 2 * * mon-fri",
  timeZone: "Europe/Berlin",
  job: { type: "calc.add", payload: { a: 2, snake_key: { camelKey: 1 } }, requires: ["nobody/has"], maxAttempts: 2 },
  overlap: "skip",
  jitterSeconds: 30,
  startsAt: "2030-01-01T00:00:00+01:00",
  endsAt: null,
};

Deno.test("POST /schedules makes a schedule, and GET reads it with its next runs", async () => {
  const { api, tenant, key } = await createApp();
  const made = await api("/schedules", { json: nightly });
  assert.equal(made.status, 201, JSON.stringify(made.body));
  const schedule = Schedule.strict().parse(made.body);
  const { startsAt: _, ...given } = nightly;
  assert.deepEqual({ ...schedule, ...given }, schedule);
  assert.deepEqual([schedule.tenantId, schedule.executorId], [tenant.id, key.executorId]);
  assert.deepEqual([schedule.catchUp, schedule.nextRunAt], ["last", "2030-01-01T01:30:00.000000Z"]);
  const read = await api(`/schedules/${schedule.id}`);
  const { nextRuns, ...rest } = Schedule.strict().parse(read.body);
  assert.deepEqual([rest, nextRuns?.length, nextRuns?.[0]], [schedule, 5, schedule.nextRunAt]);
  const list = ScheduleList.strict().parse((await api("/schedules?name=nightly&limit=1")).body);
  assert.deepEqual(list.schedules.map(({ id, job }) => [id, job["payload"]]), [[schedule.id, undefined]]);
});

Deno.test("PATCH, pause, resume, run and DELETE do what they say", async () => {
  const { api } = await createApp();
  const { body: { id } } = await api("/schedules", { json: nightly });
  const changed = await api(`/schedules/${id}`, { method: "PATCH", json: { cron: "@yearly", startsAt: null } });
  assert.deepEqual([changed.status, changed.body.cron, changed.body.startsAt, changed.body.overlap], [
    200,
    "@yearly",
    null,
    "skip",
  ]);
  const paused = await api(`/schedules/${id}/pause`, { method: "POST" });
  assert.deepEqual([paused.status, paused.body.nextRunAt, typeof paused.body.pausedAt], [200, null, "string"]);
  const run = (key?: string) =>
    api(`/schedules/${id}/run`, { method: "POST", ...(key && { headers: { "idempotency-key": key } }) });
  const first = await run("once");
  assert.equal(first.status, 201, JSON.stringify(first.body));
  const job = Job.parse(first.body);
  assert.deepEqual([job.type, job.payload, job.requires, job.maxAttempts, job.correlationId], [
    "calc.add",
    nightly.job.payload,
    ["nobody/has"],
    2,
    `schedule:${id}`,
  ]);
  const again = await run("once");
  assert.deepEqual([again.status, again.body.id], [200, job.id]);
  assert.equal((await run()).status, 201);
  const resumed = await api(`/schedules/${id}/resume`, { method: "POST" });
  assert.deepEqual([resumed.body.pausedAt, resumed.body.runCount], [null, 2]);
  const gone = await api(`/schedules/${id}`, { method: "DELETE" });
  assert.deepEqual([gone.status, gone.body.id], [200, id]);
  assertProblem(await api(`/schedules/${id}`), "not_found");
  assert.equal((await api(`/jobs/${job.id}`)).status, 200);
});

Deno.test("POST /schedules/preview shows the next runs and stores nothing", async () => {
  const { api } = await createApp();
  const json = { cron: "30 2 * * *", timeZone: "Europe/Berlin", count: 2, after: "2026-10-24T12:00:00+02:00" };
  const answer = await api("/schedules/preview", { json });
  assert.deepEqual(ScheduledRuns.strict().parse(answer.body).runs, [
    "2026-10-25T00:30:00.000000Z",
    "2026-10-26T01:30:00.000000Z",
  ]);
  assert.deepEqual((await api("/schedules")).body.schedules, []);
});

Deno.test("what does not fit is refused, and says why", async () => {
  const { api, tenant } = await createApp();
  const bad: Record<string, unknown> = {
    "a cron expression of six fields": { ...nightly, cron: "0 0 * * * *" },
    "an unknown time zone": { ...nightly, timeZone: "Mars/Base" },
    "an unknown field": { ...nightly, seconds: 1 },
    "a job with a time": { ...nightly, job: { type: "a", runAt: "2030-01-01T00:00:00Z" } },
    "a job with a key": { ...nightly, job: { type: "a", idempotencyKey: "a" } },
    "no job": { ...nightly, job: undefined },
    "an empty name": { ...nightly, name: "" },
    "too much jitter": { ...nightly, jitterSeconds: 3601 },
    "all missed runs without overlap": { ...nightly, catchUp: "all" },
    "an end before the start": { ...nightly, endsAt: "2029-01-01T00:00:00Z" },
    "a year that is none": { ...nightly, startsAt: "0000-01-01T00:00:00Z" },
  };
  for (const [what, json] of Object.entries(bad)) {
    const { status, body } = await api("/schedules", { json });
    assert.deepEqual([status, body.code], [400, "invalid_request"], `${what}: ${JSON.stringify(body)}`);
  }
  const unread = await api("/schedules", { json: { ...nightly, cron: "61 * * * *" } });
  assertProblem(unread, "invalid_request", /"61" must be a number from 0 to 59/);
  assertProblem(
    await api("/schedules", { json: { ...nightly, job: { type: "a", secrets: ["NONE"] } } }),
    "secret_not_allowed",
  );
  assert.equal((await api("/schedules", { json: nightly })).status, 201);
  assertProblem(await api("/schedules", { json: nightly }), "conflict");
  const { apiKey } = await createApiKey(tenant.id, { scopes: ["read", "submit"] });
  const lesser = new MusterClient({ url: project.url, apiKey });
  await assert.rejects(lesser.schedules.create({ name: "b", cron: "@daily", job: { type: "a" } }), {
    code: "forbidden",
  });
});

Deno.test("the client makes, changes, runs and forgets schedules", async () => {
  const { key } = await createApp();
  const { schedules } = new MusterClient({ url: project.url, apiKey: key.apiKey });
  const made = await schedules.create({
    name: "hourly",
    cron: "@hourly",
    job: { type: "a", requires: ["nobody/has"] },
  });
  assert.equal((await schedules.list({ name: "hourly" })).schedules[0]?.id, made.id);
  assert.equal((await schedules.change(made.id, { jitterSeconds: 5 })).jitterSeconds, 5);
  assert.equal((await schedules.run(made.id)).status, "queued");
  assert.equal((await schedules.pause(made.id)).nextRunAt, null);
  assert.notEqual((await schedules.resume(made.id)).nextRunAt, null);
  assert.equal((await schedules.get(made.id)).nextRuns?.length, 5);
  assert.equal((await schedules.preview({ cron: "@daily", count: 3 })).length, 3);
  assert.equal((await schedules.delete(made.id)).id, made.id);
  assert.deepEqual((await schedules.list()).schedules, []);
});

Deno.test("SQL and TypeScript know the same ways to overlap and to catch up", async () => {
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  const listOf = async (constraint: string) => {
    const [row] = await sql`
      select pg_get_constraintdef(c.oid) as text from pg_catalog.pg_constraint c
      where c.conname = ${constraint} and c.conrelid = 'muster.schedules'::regclass`;
    return [...row!["text"].matchAll(/'(\w+)'/g)].map(([, name]) => name);
  };
  try {
    assert.deepEqual(await listOf("overlaps_are_known"), [...overlaps]);
    assert.deepEqual(await listOf("catch_ups_are_known"), [...catchUps]);
  } finally {
    await sql.end();
  }
});
