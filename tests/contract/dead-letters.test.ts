import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { DeadLetterList, DismissedDeadLetters, ReplayedDeadLetters } from "../../shared/contracts/dead-letters.ts";
import { Job } from "../../shared/contracts/jobs.ts";
import { MusterClient } from "../../worker/index.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { createApp, createEnrollmentToken } from "../support/tenant.ts";

Deno.test("POST /jobs takes a retry policy, a turn and a start, and answers them", async () => {
  const { api } = await createApp();
  const asked = {
    retryBackoff: "linear",
    retryJitter: 0.25,
    finalErrors: ["bad_input", "http.*"],
    startBy: "2099-01-01T00:00:00.000Z",
    fairnessKey: "customer 7",
    fairnessWeight: 5,
  };
  const answer = await api("/jobs", { json: { type: "a", requires: ["nobody/has"], ...asked } });
  assert.equal(answer.status, 201, JSON.stringify(answer.body));
  const { startBy, ...job } = Job.parse((await api(`/jobs/${answer.body.id}`)).body);
  for (const [name, value] of Object.entries(asked)) {
    if (name !== "startBy") assert.deepEqual(job[name as keyof typeof job], value, name);
  }
  assert.equal(Date.parse(startBy!), Date.parse(asked.startBy));
  for (
    const wrong of [
      { retryBackoff: "random" },
      { retryJitter: 2 },
      { finalErrors: ["*"] },
      { startBy: "2020-01-01T00:00:00Z" },
      { startBy: "2099-01-01T00:00:00Z", runAt: "2099-01-01T00:00:00Z" },
      { fairnessKey: "" },
      { fairnessWeight: 0 },
      { fairnessWeight: 1.5 },
    ]
  ) {
    assertProblem(await api("/jobs", { json: { type: "a", ...wrong } }), "invalid_request");
  }
  const many = { type: "a", finalErrors: Array(21).fill("a") };
  assertProblem(await api("/jobs", { json: many }), "too_many");
});

Deno.test("letters of failed jobs are listed, replayed once and dismissed over HTTPS, and their jobs run again", async () => {
  const { api, tenant } = await createApp();
  const jobs = await failJobs(api, tenant.id, 3);
  const page = await api("/jobs/dead-letters?limit=2&errorCode=broken");
  assert.equal(page.status, 200, JSON.stringify(page.body));
  const first = DeadLetterList.strict().parse(page.body);
  assert.equal(first.deadLetters.length, 2);
  const { body: rest } = await api(`/jobs/dead-letters?limit=2&errorCode=broken&cursor=${first.nextCursor}`);
  const letters = [...first.deadLetters, ...DeadLetterList.parse(rest).deadLetters];
  assert.deepEqual(letters.map(({ jobId }) => jobId).sort(), [...jobs].sort());
  assert.deepEqual(letters.map(({ errorMessage }) => errorMessage), Array(3).fill("It broke"));

  const replay = (json: unknown) => api("/jobs/dead-letters/replay", { json });
  const one = ReplayedDeadLetters.strict().parse(
    (await replay({ ids: [jobs[0]], changes: { priority: 9, maxAttempts: 2 } })).body,
  );
  assert.deepEqual([one.replayed, one.skipped, one.jobs[0]!.jobId], [1, 0, jobs[0]]);
  const again = Job.parse((await api(`/jobs/${one.jobs[0]!.replayedAs}`)).body);
  assert.deepEqual([again.retryOf, again.priority, again.maxAttempts, again.payload], [jobs[0], 9, 2, {
    camelCase: 1,
  }]);
  assert.equal((await replay({ ids: [jobs[0]] })).body.skipped, 1);
  const dismissed = await api("/jobs/dead-letters/dismiss", { json: { ids: [jobs[1]] } });
  assert.deepEqual(DismissedDeadLetters.strict().parse(dismissed.body), { dismissed: 1, skipped: 0, nextCursor: null });
  assert.equal((await replay({ filter: { type: "fails" }, limit: 5 })).body.replayed, 1);
  const states = await Promise.all(
    ["open", "replayed", "dismissed"].map((state) => api(`/jobs/dead-letters?state=${state}`)),
  );
  assert.deepEqual(states.map(({ body }) => body.deadLetters.length), [0, 2, 1]);
});

Deno.test("routes of dead letters refuse what they cannot read, and letters of other tenants", async () => {
  const { api, tenant } = await createApp();
  const { api: other } = await createApp();
  const [id] = await failJobs(api, tenant.id, 1);
  for (const verb of ["replay", "dismiss"]) {
    const path = `/jobs/dead-letters/${verb}`;
    assertProblem(await other(path, { json: { ids: [id] } }), "not_found");
    for (
      const json of [
        {},
        { ids: [id], filter: {} },
        { ids: [] },
        { ids: ["x"] },
        { filter: { state: "open" } },
        {
          filter: {},
          limit: 1001,
        },
        { filter: {}, cursor: "x" },
        { filter: {}, more: 1 },
      ]
    ) {
      assertProblem(await api(path, { json }), "invalid_request");
    }
  }
  const change = { ids: [id], changes: { type: "other" } };
  assertProblem(await api("/jobs/dead-letters/replay", { json: change }), "invalid_request");
  for (const query of ["state=all", "limit=0", "limit=201", "status=failed", "after=soon", "cursor=x"]) {
    assertProblem(await api(`/jobs/dead-letters?${query}`), "invalid_request");
  }
  assert.deepEqual((await other("/jobs/dead-letters")).body, { deadLetters: [], nextCursor: null });
});

Deno.test("the client lists, replays and dismisses dead letters", async () => {
  const { api, tenant, key } = await createApp();
  const [first, second] = await failJobs(api, tenant.id, 2);
  const client = new MusterClient({ url: project.url, apiKey: key.apiKey });
  const { deadLetters } = await client.deadLetters({ type: "fails", limit: 10 });
  assert.deepEqual(deadLetters.map(({ jobId }) => jobId).sort(), [first, second].sort());
  const { jobs } = await client.replayDeadLetters({ ids: [first!] });
  assert.equal((await client.get(jobs[0]!.replayedAs)).retryOf, first);
  assert.equal((await client.dismissDeadLetters({ filter: {} })).dismissed, 1);
});

Deno.test("the operator's command lists, replays and dismisses dead letters", async () => {
  const { api, tenant } = await createApp();
  const jobs = await failJobs(api, tenant.id, 3);
  const muster = (...args: string[]) => runMuster("dead-letter", ...args, "--tenant", tenant.name);
  const listed = await muster("list", "--error-code", "broken");
  assert.equal(listed.code, 0, listed.stderr);
  for (const id of jobs) assert.match(listed.stdout, new RegExp(`${id}  fails  .*  1  +broken  It broke`));
  const replayed = await muster("replay", "--id", jobs[0]!, "--priority=-3");
  assert.deepEqual([replayed.code, replayed.stdout.trim()], [0, "Replayed 1 letter"], replayed.stderr);
  assert.equal(
    (await muster("replay", "--id", jobs[0]!)).stdout.trim(),
    "Replayed 0 letters; 1 were not open any more",
  );
  const record = JSON.parse((await muster("replay", "--type", "fails", "--json")).stdout);
  assert.deepEqual([record.replayed, record.skipped, record.jobs.length], [2, 0, 2]);
  assert.equal((await muster("list")).stdout.trim(), "None");
  assert.equal((await muster("dismiss", "--all")).stdout.trim(), "Dismissed 0 letters");
  for (
    const args of [
      ["replay"],
      ["replay", "--all", "--type", "x"],
      ["list", "--state", "all"],
      ["list", "--limit", "0"],
      [
        "replay",
        "--all",
        "--priority",
        "high",
      ],
    ]
  ) {
    assert.equal((await muster(...args)).code, 2, args.join(" "));
  }
});

/** Lets so many jobs fail for good on a worker of their tenant. */
async function failJobs(
  api: Awaited<ReturnType<typeof createApp>>["api"],
  tenantId: string,
  count: number,
): Promise<string[]> {
  const { enrollmentToken } = await createEnrollmentToken(tenantId);
  const device = await enrollDevice(enrollmentToken);
  await device.rpc("hello", { worker: { slots: count }, running: [] });
  const jobs = Array.from({ length: count }, () => ({ type: "fails", payload: { camelCase: 1 }, maxAttempts: 1 }));
  const { body } = await api("/jobs", { json: { jobs } });
  const held = await claimJobs(device.rpc, count);
  const error = { code: "broken", message: "It broke" };
  await device.rpc("complete_jobs", {
    results: held.map(({ job_id, attempt }: { job_id: string; attempt: number }) => ({
      job_id,
      attempt,
      status: "failed",
      error,
    })),
  });
  return body.jobs.map(({ job }: { job: { id: string } }) => job.id);
}

const repository = resolve(import.meta.dirname!, "../..");

async function runMuster(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(repository, "cli/main.ts"), ...args],
    cwd: repository,
    env: { SUPABASE_URL: project.url, SUPABASE_SECRET_KEY: project.secretKey },
  }).output();
  return { code, stdout: new TextDecoder().decode(stdout), stderr: new TextDecoder().decode(stderr) };
}
