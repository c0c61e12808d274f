import assert from "node:assert/strict";
import postgres from "postgres";
import { AuditList, AuditRetention, AuditVerification } from "../../shared/contracts/audit.ts";
import { channels } from "../../shared/channels.ts";
import { RealtimeSocket } from "../../local/testing/realtime-socket.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { project } from "../support/project.ts";
import { assertProblem } from "../support/problem.ts";
import { api, createApp, createEnrollmentToken } from "../support/tenant.ts";

async function createWorld() {
  const app = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(app.tenant.id);
  const machine = await enrollDevice(enrollmentToken, { name: "one" });
  return { ...app, machine, administrator: api(project.secretKey, { "x-tenant-id": app.tenant.id }) };
}

Deno.test("GET /audit tells what was done to a tenant, and by whom", async () => {
  const { api, key, machine, administrator } = await createWorld();
  const { workerId } = machine.enrolled;
  await machine.rpc("hello", { worker: { capabilities: ["compute/basic"], slots: 1 }, running: [] });
  const { body: job } = await api("/jobs", { json: { type: "a", payload: { secret: "planted" } } });
  assert.equal((await claimJobs(machine.rpc)).length, 1);
  await api(`/workers/${workerId}/drain`, { method: "POST" });
  await administrator(`/workers/${workerId}/revoke`, { method: "POST" });

  const answer = await administrator("/audit?limit=200");
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { entries, nextCursor } = AuditList.strict().parse(answer.body);
  assert.equal(nextCursor, null);
  assert.deepEqual(entries.map(({ seq }) => seq), entries.map((_, index) => entries.length - index));
  const told = entries.map(({ actor, action, subject }) => `${actor.kind} ${action} ${subject}`);
  for (
    const line of [
      `api_key worker.drained ${workerId}`,
      `service worker.revoked ${workerId}`,
      "api_key jobs.changed jobs",
      "worker jobs.changed jobs",
    ]
  ) assert.ok(told.includes(line), `${line} is among ${told.join(", ")}`);
  const drained = entries.find(({ action }) => action === "worker.drained")!;
  assert.deepEqual(drained.actor, { kind: "api_key", id: key.id, executorId: key.executorId });
  const changes = entries.filter(({ action }) => action === "jobs.changed").flatMap(({ data }) => data["jobs"]);
  assert.ok(JSON.stringify(changes).includes(job.id));
  assert.ok(!JSON.stringify(entries).includes("planted"));

  const found = await administrator(`/audit?action=worker.&subject=${workerId}&actorKind=service`);
  assert.deepEqual(found.body.entries.map(({ action }: { action: string }) => action), ["worker.revoked"]);
  const page = await administrator("/audit?limit=1");
  const next = await administrator(`/audit?limit=1&cursor=${encodeURIComponent(page.body.nextCursor)}`);
  assert.deepEqual([page.body.entries[0].seq, next.body.entries[0].seq], [entries.length, entries.length - 1]);
});

Deno.test("GET /audit/verify walks the chain, finds what was tampered with, and answers a head to note", async () => {
  const { tenant, administrator } = await createWorld();
  const answer = await administrator("/audit/verify");
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { head, ...found } = AuditVerification.strict().parse(answer.body);
  assert.deepEqual([found.intact, found.broken, found.nextSeq, found.checked], [true, null, null, head.seq]);
  const again = await administrator(`/audit/verify?fromSeq=2&headSeq=${head.seq}&headHash=${head.hash}`);
  assert.equal(again.body.intact, true, JSON.stringify(again.body));
  const foreign = await administrator(`/audit/verify?headSeq=${head.seq}&headHash=${"0".repeat(64)}`);
  assert.deepEqual([foreign.body.intact, foreign.body.broken.how], [false, "rewritten"]);

  await asOwner((sql) =>
    sql.begin(async (tx) => {
      await tx`alter table muster.audit_log disable trigger refuse_changes`;
      await tx`update muster.audit_log set subject = 'nobody' where tenant_id = ${tenant.id} and seq = 2`;
      await tx`alter table muster.audit_log enable trigger refuse_changes`;
    })
  );
  const broken = AuditVerification.strict().parse((await administrator("/audit/verify")).body);
  assert.deepEqual([broken.intact, broken.broken?.seq, broken.broken?.how], [false, 2, "changed"]);
});

Deno.test("the audit log is for admins and the secret key, and its retention for the secret key", async () => {
  const { api: app, administrator } = await createWorld();
  for (const path of ["/audit", "/audit/verify"]) {
    assertProblem(await app(path), "forbidden");
    assertProblem(await api(null)(path), "unauthenticated");
  }
  assertProblem(await app("/audit/retention", { json: { days: 100 } }), "forbidden");
  const set = await administrator("/audit/retention", { json: { days: 100 } });
  assert.equal(set.status, 200, JSON.stringify(set.body));
  assert.equal(AuditRetention.strict().parse(set.body).retentionDays, 100);
  assert.equal((await administrator("/audit/verify")).body.retentionDays, 100);
});

Deno.test("GET /audit and its parts refuse what they do not understand", async () => {
  const { administrator } = await createWorld();
  for (
    const query of [
      "color=red",
      "limit=0",
      "limit=201",
      "limit=x",
      "since=yesterday",
      "cursor=1",
      "action=",
      "action=a%00",
    ]
  ) assertProblem(await administrator(`/audit?${query}`), "invalid_request");
  for (const query of ["fromSeq=0", "fromSeq=x", "headSeq=1", `headHash=${"0".repeat(64)}`, "headSeq=1&headHash=0"]) {
    assertProblem(await administrator(`/audit/verify?${query}`), "invalid_request");
  }
  for (const body of [{}, { days: 1 }, { days: "100" }, { days: 1e9 }, { days: 100, more: 1 }]) {
    assertProblem(await administrator("/audit/retention", { json: body }), "invalid_request");
  }
});

Deno.test("a worker that asks for another tenant's channel is in the audit log of its own", async () => {
  const { machine, administrator } = await createWorld();
  const other = await createWorld();
  const topic = channels.workerTasks(other.machine.enrolled.workerId);
  const { workerId, accessToken } = machine.enrolled;
  using socket = await RealtimeSocket.open(project.url, project.publishableKey);
  const refused = await socket.request(`realtime:${topic}`, "phx_join", {
    config: { private: true, presence: { enabled: true } },
    access_token: accessToken,
  });
  assert.equal(refused.payload.status, "error");
  assert.match(refused.payload.response.reason, /permissions to read/);
  const joined = await socket.request(`realtime:${channels.workerTasks(workerId)}`, "phx_join", {
    config: { private: true },
    access_token: accessToken,
  });
  assert.equal(joined.payload.status, "ok");

  await asOwner((sql) => sql`select muster.tick()`);
  // Another tick may be at it just then.
  let entries = [];
  for (const deadline = Date.now() + 30_000; entries.length === 0 && Date.now() < deadline;) {
    entries = (await administrator("/audit?action=channel.refused")).body.entries;
  }
  const [id] = topic.split(":").slice(1);
  assert.deepEqual(
    entries.map((
      { actor, subject, data }: { actor: unknown; subject: string; data: unknown },
    ) => [actor, subject, data]),
    [[{ kind: "worker", id: workerId }, `worker:${id!.slice(0, 17)}…`, { count: 1 }]],
  );
  assert.deepEqual((await other.administrator("/audit?action=channel.refused")).body.entries, []);
});

async function asOwner(act: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    await act(sql);
  } finally {
    await sql.end();
  }
}
