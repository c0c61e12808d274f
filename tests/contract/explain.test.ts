import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { Explanation } from "../../shared/contracts/explain.ts";
import { MusterClient } from "../../worker/index.ts";
import type { Answer } from "../support/database.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { createApp, createEnrollmentToken } from "../support/tenant.ts";

const repository = resolve(import.meta.dirname!, "../..");

/** An app and a machine of one slot in the lab. */
async function createScene() {
  const app = await createApp("explained");
  const { enrollmentToken } = await createEnrollmentToken(app.tenant.id);
  const machine = await enrollDevice(enrollmentToken, { capabilities: ["python"] });
  await machine.rpc("hello", {
    worker: { capabilities: ["python"], labels: { site: "lab" }, resources: { gpu: 1 } },
    running: [],
  });
  const client = new MusterClient({ url: project.url, apiKey: app.key.apiKey });
  return { ...app, machine, client };
}

Deno.test("GET /jobs/:id/explain says what keeps a job from running, as does the client", async () => {
  const { api, client, machine } = await createScene();
  const first = await api("/jobs", { json: { type: "a", requires: ["python"], concurrencyKey: "one" } });
  const free = Explanation.parse((await api(`/jobs/${first.body.id}/explain`)).body);
  assert.deepEqual([free.status, free.counts.free, free.workers[0]?.verdict], ["queued", 1, "free"]);
  const held = await claimJobs(machine.rpc);
  assert.deepEqual(held.map(({ job_id }: Answer) => job_id), [first.body.id]);

  const second = await api("/jobs", { json: { type: "a", requires: ["python"], concurrencyKey: "one" } });
  const blocked = await client.explain(second.body.id);
  const [gate] = blocked.gates;
  assert.ok(gate?.gate === "concurrency");
  assert.deepEqual([gate.state, gate.limit, gate.heldBy.map(({ jobId }) => jobId)], ["waits", 1, [first.body.id]]);
  assert.deepEqual([blocked.workers[0]?.verdict, blocked.workers[0]?.heldBy], ["busy", [first.body.id]]);
  assert.match((await client.explain(first.body.id)).summary, /^The job runs on worker /);
  assertProblem(await api(`/jobs/${crypto.randomUUID()}/explain`), "not_found");
  assertProblem(await (await createApp()).api(`/jobs/${first.body.id}/explain`), "not_found");
});

Deno.test("POST /jobs/explain says what would become of a job, stores nothing and refuses what a submission refuses", async () => {
  const { api, client } = await createScene();
  const job = {
    type: "a",
    requires: ["python"],
    where: [{ label: "site", operator: "=" as const, value: "home" }],
    resources: { gpu: 2 },
  };
  const { status, body } = await api("/jobs/explain", { json: job });
  assert.equal(status, 200, JSON.stringify(body));
  const told = Explanation.parse(body);
  assert.deepEqual([told.jobId, told.status, told.estimate?.reason], [null, "queued", "no_worker"]);
  const failed = { predicate: "expression", name: "site", wanted: "site = home", has: "lab" };
  assert.deepEqual(told.workers[0]?.failed, failed);
  assert.deepEqual(told.relaxations[0]?.changes.map(({ change, to }) => [change, to]), [
    ["lower_resource", 1],
    ["drop_expression", undefined],
  ]);
  assert.deepEqual((await client.explain(job)).relaxations, told.relaxations);
  assert.deepEqual((await api("/jobs")).body.jobs, []);
  assertProblem(await api("/jobs/explain", { json: { ...job, priority: 1e9 } }), "invalid_request");
  assertProblem(await api("/jobs/explain", { json: { ...job, secrets: ["NONE"] } }), "secret_not_allowed");
  await api("/jobs", { json: { type: "a", concurrencyKey: "k" } });
  assertProblem(
    await api("/jobs/explain", { json: { type: "a", concurrencyKey: "k", concurrencyPolicy: "reject" } }),
    "E.CMD.CONCURRENCY_VIOLATION",
  );
});

Deno.test("the operator's command explains a job, and a file with one that is to be submitted", async () => {
  const { api, tenant } = await createScene();
  const { body } = await api("/jobs", { json: { type: "a", requires: ["quantum"] } });
  const explained = await muster("job", "explain", body.id, "--tenant", tenant.name);
  assert.equal(explained.code, 0, explained.stderr);
  assert.match(
    explained.stdout,
    /^The job waits for a worker: none of 1 can take it now; 1 lacks capability quantum\n/,
  );
  assert.match(explained.stdout, /capability quantum +quantum +-\n/);
  assert.match(explained.stdout, /50 +1 +drop capability quantum/);
  const file = await Deno.makeTempFile({ suffix: ".json" });
  try {
    await Deno.writeTextFile(file, JSON.stringify({ type: "a", labels: { site: "home" } }));
    const tried = await muster("job", "try", file, "--tenant", tenant.name, "--json");
    assert.equal(JSON.parse(tried.stdout).workers[0].failed.predicate, "label", tried.stderr);
    await Deno.writeTextFile(file, `{"type": 7}`);
    const slip = await muster("job", "try", file, "--tenant", tenant.name);
    assert.deepEqual([slip.code, /^Cannot use type of /.test(slip.stderr)], [2, true], slip.stderr);
  } finally {
    await Deno.remove(file);
  }
});

async function muster(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(repository, "cli/main.ts"), ...args],
    cwd: repository,
    env: { SUPABASE_URL: project.url, SUPABASE_SECRET_KEY: project.secretKey },
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
