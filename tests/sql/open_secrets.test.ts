import assert from "node:assert/strict";
import {
  type Assignment,
  auditEntries,
  createSecret,
  createTenant,
  createWorker,
  failed,
  refused,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
} from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

type Scene = { tenant: TestTenant; worker: TestWorker; held: Assignment };

/** A worker that holds an attempt at a job which names two of the tenant's three secrets. */
async function stage(db: TestDatabase, job: Args = {}): Promise<Scene> {
  const tenant = await createTenant(db);
  for (const name of ["ONE", "TWO", "THREE"]) await createSecret(db, tenant, name, ["test", "mail.*"]);
  const worker = await createWorker(db, tenant, { slots: 2 });
  await submit(db, tenant, { secrets: ["TWO", "ONE", "TWO"], ...job });
  const [held] = await worker.claim();
  return { tenant, worker, held: held! };
}

/** As the function asks, once it has verified the proof. */
function open(db: TestDatabase, { worker, held }: Pick<Scene, "worker" | "held">, args: Args = {}): Promise<Answer> {
  return db.call(service, "open_secrets", {
    worker_id: worker.id,
    fingerprint: (worker.actor.claims!.cnf as Answer).jkt,
    proof_jti: crypto.randomUUID(),
    proof_expires_at: "2026-01-01T00:01:00Z",
    job_id: held.job_id,
    attempt: held.attempt,
    ...args,
  });
}

async function refusedWith(db: TestDatabase, scene: Scene, code: string, args: Args = {}): Promise<void> {
  const answer = await open(db, scene, args);
  assert.equal(answer.refused?.code, code, JSON.stringify(answer));
  assert.equal(answer.secrets, undefined);
  const last = (await auditOf(db, scene.tenant)).at(-1);
  assert.deepEqual([last.action, last.actor], ["secret.refused", { kind: "worker", id: scene.worker.id }]);
  assert.equal(last.data.error, code);
}

async function auditOf(db: TestDatabase, tenant: TestTenant): Promise<Answer[]> {
  const entries = await auditEntries(db, tenant, "secret.");
  return entries.filter(({ action }) => action !== "secret.set" && action !== "secret.deleted")
    .map(({ action, actor, subject, data }) => ({ action, actor, subject, data }));
}

Deno.test("open_secrets() gives the holder of an attempt what the job names, and notes it", async () => {
  await using db = await TestDatabase.create();
  const scene = await stage(db);
  const { refused, secrets } = await open(db, scene);
  assert.equal(refused, null);
  assert.deepEqual(secrets.map((secret: Answer) => [secret.name, secret.version]), [["ONE", 1], ["TWO", 1]]);
  const stored = await db.sql`select name, ciphertext from muster.secrets where name <> 'THREE' order by name`;
  assert.deepEqual(secrets.map(({ name, ciphertext }: Answer) => ({ name, ciphertext })), [...stored]);
  assert.deepEqual(await auditOf(db, scene.tenant), [{
    action: "secret.opened",
    actor: { kind: "worker", id: scene.worker.id },
    subject: scene.held.job_id,
    data: { attempt: 1, names: ["ONE", "TWO"] },
  }]);
});

Deno.test("open_secrets() refuses who does not hold the attempt, and the row of the audit log stays", async () => {
  await using db = await TestDatabase.create();
  const scene = await stage(db);
  const { tenant, worker, held } = scene;
  const sibling = await createWorker(db, tenant);
  await refusedWith(db, { ...scene, worker: sibling }, "MU006");
  await refusedWith(db, scene, "MU006", { attempt: 2 });
  await refusedWith(db, scene, "MU006", { attempt: null });
  await refusedWith(db, scene, "MU006", { job_id: crypto.randomUUID() });
  const stranger = await stage(db);
  await refusedWith(db, { ...stranger, held }, "MU006");
  await refusedWith(db, scene, "MU012", { fingerprint: "another" });
  await refusedWith(db, scene, "MU012", { fingerprint: null });
  await worker.complete([failed(held)]);
  await refusedWith(db, scene, "MU006");
  assert.ok((await auditOf(db, tenant)).every(({ action }: Answer) => action === "secret.refused"));
});

Deno.test("open_secrets() takes a proof once", async () => {
  await using db = await TestDatabase.create();
  const scene = await stage(db);
  const proof_jti = crypto.randomUUID();
  assert.equal((await open(db, scene, { proof_jti })).refused, null);
  await refusedWith(db, scene, "MU013", { proof_jti });
});

Deno.test("a worker that is revoked opens nothing from then on, and neither does its token", async () => {
  await using db = await TestDatabase.create();
  const scene = await stage(db);
  const { tenant, worker } = scene;
  assert.deepEqual(await db.call(worker.actor, "authorize_secrets"), { worker_id: worker.id });
  await refused(db.call(worker.actor, "authorize_secrets", { caller: tenant.caller }), "MU002");
  const caller = { kind: "service", tenant_id: tenant.id };
  await db.call(service, "revoke_worker", { caller, worker_id: worker.id });
  await refused(db.call(worker.actor, "authorize_secrets"), "MU014");
  await refusedWith(db, scene, "MU014");
});

Deno.test("a revocation that is under way is waited for, and then opens nothing", async () => {
  await using db = await TestDatabase.create();
  const scene = await stage(db);
  await using operator = await db.transaction();
  await using function_ = await db.transaction();
  const caller = { kind: "service", tenant_id: scene.tenant.id };
  await operator.call(service, "revoke_worker", { caller, worker_id: scene.worker.id });
  const opening = function_.call(service, "open_secrets", {
    worker_id: scene.worker.id,
    fingerprint: (scene.worker.actor.claims!.cnf as Answer).jkt,
    proof_jti: crypto.randomUUID(),
    proof_expires_at: "2026-01-01T00:01:00Z",
    job_id: scene.held.job_id,
    attempt: scene.held.attempt,
  });
  await db.untilBlocked(function_.pid);
  await operator.commit();
  assert.equal((await opening).refused.code, "MU014");
  await function_.commit();
});

Deno.test("open_secrets() asks the policy again: a secret deleted or closed to the type since is named", async () => {
  await using db = await TestDatabase.create();
  const scene = await stage(db);
  const { tenant } = scene;
  await createSecret(db, tenant, "TWO", ["mail.*"]);
  await refusedWith(db, scene, "MU021");
  await createSecret(db, tenant, "TWO", ["test"]);
  assert.equal((await open(db, scene)).refused, null);
  await db.call(service, "delete_secret", { caller: { kind: "service", tenant_id: tenant.id }, name: "ONE" });
  const { refused } = await open(db, scene);
  assert.match(refused.message, /secret ONE .* was deleted, or is not allowed for type test/);
});

Deno.test("a job's secrets must exist and allow its type, or the whole batch is refused", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createSecret(db, await createTenant(db), "FOREIGN");
  for (const [name, types] of Object.entries({ EXACT: ["mail.send"], ALL_MAIL: ["mail.*"], ANY: ["*"] })) {
    await createSecret(db, tenant, name, types);
  }
  const allowed = (type: string, ...secrets: string[]) => submit(db, tenant, { type, secrets });
  const not = async (type: string, ...secrets: string[]) => {
    const error = await refused(submit(db, tenant, {}, { type, secrets }), "MU021", `${type} with ${secrets}`);
    assert.match(error.message, /^Cannot submit job 1: there is no secret \S+ that jobs of type \S+ may use$/);
  };
  const [job] = await allowed("mail.send", "EXACT", "ALL_MAIL", "ANY", "ANY");
  assert.deepEqual(job.secrets, ["ALL_MAIL", "ANY", "EXACT"]);
  await allowed("mail.send.now", "ALL_MAIL");
  await allowed("other", "ANY");
  await not("mail.send.now", "EXACT");
  await not("mail", "ALL_MAIL");
  await not("mailer", "ALL_MAIL");
  await not("mail_send", "ALL_MAIL");
  await not("mail.send", "ANY", "MISSING");
  await not("mail.send", "FOREIGN");
  const [{ count }] = await db.sql`select count(*)::integer as count from muster.jobs` as unknown as [Answer];
  assert.equal(count, 3);
});

Deno.test("names of secrets that cannot be any are refused as the submitter's mistake", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await refused(submit(db, tenant, { secrets: "ANY" }), "MU004");
  await refused(submit(db, tenant, { secrets: { ANY: true } }), "MU004");
  await refused(submit(db, tenant, { secrets: Array.from({ length: 21 }, (_, n) => `S${n}`) }), "MU004");
  await refused(submit(db, tenant, { secrets: [null] }), "MU021");
});

Deno.test("a job submitted again under its idempotency key is answered, whatever became of its secrets", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await createSecret(db, tenant, "KEY");
  const [first] = await submit(db, tenant, { secrets: ["KEY"], idempotency_key: "once" });
  await db.call(service, "delete_secret", { caller: { kind: "service", tenant_id: tenant.id }, name: "KEY" });
  const [again] = await submit(db, tenant, { secrets: ["KEY"], idempotency_key: "once" });
  assert.equal(again.id, first.id);
});

Deno.test("the worker is told the names with the job, and they stay through a retry and a new job in its place", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker, held } = await stage(db, { max_attempts: 2, retry_base_seconds: 0 });
  assert.deepEqual((held as Answer).secrets, ["ONE", "TWO"]);
  await worker.complete([failed(held)]);
  await db.advance(1);
  await db.call(service, "tick");
  const [again] = await worker.claim();
  assert.deepEqual([again!.attempt, (again as Answer).secrets], [2, ["ONE", "TWO"]]);
  assert.equal((await open(db, { worker, held: again! })).secrets.length, 2);
  await worker.complete([failed(again!)]);
  const repeated = await db.call(service, "retry_job", { caller: tenant.caller, job_id: held.job_id });
  assert.deepEqual(repeated.secrets, ["ONE", "TWO"]);
});

Deno.test("a job that names no secret opens none, and nothing is noted", async () => {
  await using db = await TestDatabase.create();
  const { tenant, worker } = await stage(db);
  const [plain] = await submit(db, tenant, {});
  assert.deepEqual(plain.secrets, []);
  const [held] = await worker.claim();
  assert.deepEqual(await open(db, { worker, held: held! }), { refused: null, secrets: [] });
  assert.deepEqual(await auditOf(db, tenant), []);
  await worker.complete([succeeded(held!)]);
});
