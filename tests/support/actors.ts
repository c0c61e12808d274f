import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Actor, type Answer, type Args, service, type TestDatabase } from "./database.ts";

/** A tenant with an executor, as tests of SQL functions need it. */
export type TestTenant = { id: string; executorId: string; caller: Args };

/** An enrolled worker and the calls it makes. */
export type TestWorker = {
  id: string;
  actor: Actor;
  hello(worker?: Args, running?: Attempt[]): Promise<Answer>;
  heartbeat(args?: Args): Promise<Answer>;
  claim(want?: number): Promise<Assignment[]>;
  complete(results: Args[], want?: number): Promise<Answer>;
};

export type Attempt = { job_id: string; attempt: number };
export type Assignment = Attempt & { type: string; payload: unknown };

export async function createTenant(db: TestDatabase): Promise<TestTenant> {
  const { id } = await db.call(service, "create_tenant", { name: crypto.randomUUID() });
  return createExecutor(db, { id }, "app");
}

/** An app of the tenant, with a key that may all that keys may. */
export async function createExecutor(
  db: TestDatabase,
  tenant: Pick<TestTenant, "id">,
  name: string,
): Promise<TestTenant> {
  const hash = sha256(crypto.randomUUID());
  const key = await db.call(service, "create_api_key", {
    tenant_id: tenant.id,
    executor_name: name,
    key_prefix: "msk_test",
    key_hash: hash,
    scopes: ["read", "submit", "operate"],
  });
  return { id: tenant.id, executorId: key.executor_id, caller: { kind: "api_key", hash } };
}

export async function submit(db: TestDatabase, tenant: TestTenant, ...jobs: Args[]): Promise<Answer[]> {
  const answer = await db.call(service, "submit_jobs", {
    caller: tenant.caller,
    jobs: jobs.map((job) => ({ type: "test", ...job })),
  });
  return answer.jobs.map((item: Answer) => item.job);
}

export function getJob(db: TestDatabase, tenant: TestTenant, id: string): Promise<Answer> {
  return db.call(service, "get_job", { caller: tenant.caller, job_id: id });
}

/**
 * Enrolls a worker and lets it report for work. With listening it has also echoed its nonce, so that it is pushed jobs;
 * without, it gets what it asks for.
 */
export async function createWorker(
  db: TestDatabase,
  tenant: TestTenant,
  options: {
    capabilities?: string[];
    labels?: Args;
    slots?: number;
    listening?: boolean;
    online?: boolean;
    ephemeral?: boolean;
  } = {},
): Promise<TestWorker> {
  const { capabilities = ["compute/basic"], labels = {}, slots = 1, listening = false, online = true } = options;
  const { ephemeral = false } = options;
  const hash = sha256(crypto.randomUUID());
  await db.call(service, "create_enrollment_token", {
    tenant_id: tenant.id,
    name: "test",
    token_hash: hash,
    ephemeral,
  });
  const fingerprint = sha256(crypto.randomUUID());
  const enrolled = await db.call(service, "enroll_worker", {
    token_hash: hash,
    worker: {
      name: `worker-${fingerprint.slice(0, 6)}`,
      public_jwk: { kty: "EC" },
      fingerprint,
      capabilities,
      labels,
      slots,
      proof_jti: crypto.randomUUID(),
      proof_expires_at: "2100-01-01T00:00:00Z",
    },
  });
  const worker = workerOf(db, enrolled.worker_id, tenant.id, fingerprint);
  if (online) {
    const greeting = await worker.hello({ capabilities, labels, slots, listening });
    if (listening) await worker.heartbeat({ listening, wake_nonce: greeting.wake_nonce });
  }
  return worker;
}

/** The calls of an enrolled worker, made with claims as its token carries them. */
export function workerOf(db: TestDatabase, id: string, tenantId: string, fingerprint: string): TestWorker {
  const claims = { role: "muster_worker", sub: id, tenant_id: tenantId, cnf: { jkt: fingerprint } };
  const actor: Actor = { role: "muster_worker", claims };
  return {
    id,
    actor,
    hello: (worker = {}, running = []) => db.call(actor, "hello", { worker, running }),
    heartbeat: (args = {}) => db.call(actor, "heartbeat", { running: [], ...args }),
    async claim(want = 1) {
      const { jobs, again } = await db.call(actor, "claim_jobs", { want });
      // The call did a late tick instead.
      return again ? await this.claim(want) : jobs;
    },
    complete: (results, want = 0) => db.call(actor, "complete_jobs", { results, want }),
  };
}

export function succeeded({ job_id, attempt }: Attempt, result: unknown = {}): Args {
  return { job_id, attempt, status: "succeeded", result };
}

export function failed({ job_id, attempt }: Attempt, error: Args = {}): Args {
  return { job_id, attempt, status: "failed", error: { code: "test", message: "It broke", ...error } };
}

export function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

/** A signed-in user with a role in the tenant: as the functions name it, and as it comes with its own token. */
export async function createMember(
  db: TestDatabase,
  tenant: TestTenant,
  role: "admin" | "editor" | "publisher" | "viewer",
): Promise<{ userId: string; caller: Args; actor: Actor }> {
  const userId = await createUser(db);
  await db.sql`insert into muster.members (tenant_id, user_id, role) values (${tenant.id}, ${userId}, ${role})`;
  return { userId, caller: { kind: "member", user_id: userId, tenant_id: tenant.id }, actor: userOf(userId) };
}

/** A user of Supabase Auth, with a confirmed e-mail address if one is given. */
export async function createUser(db: TestDatabase, email: string | null = null): Promise<string> {
  const id = crypto.randomUUID();
  await db.sql`insert into auth.users (id, email, email_confirmed_at) values (${id}, ${email}, ${
    email && new Date(0)
  })`;
  return id;
}

/** A signed-in user, member of nothing until it is made one. */
export function userOf(userId: string = crypto.randomUUID()): Actor {
  return { role: "authenticated", claims: { role: "authenticated", sub: userId } };
}

/** An app with the short token it got for its API key. */
export function clientOf(tenantId: string, executorId: string): Actor {
  return { role: "muster_client", claims: { role: "muster_client", sub: executorId, tenant_id: tenantId } };
}

/** A file of the tenant that is complete, so that jobs can name it as an input. */
export async function createInput(db: TestDatabase, tenant: TestTenant, name = "in.txt"): Promise<Answer> {
  const file = { name, size_bytes: 5, sha256: sha256(name) };
  const { id } = await db.call(service, "create_artifact", { caller: tenant.caller, artifact: file });
  return db.call(service, "finish_artifact", { artifact_id: id, size_bytes: 5, sha256: file.sha256 });
}

/** What a value looks like once it is encrypted; SQL looks no closer. */
export function ciphertextOf(text: string = crypto.randomUUID()): string {
  return `eyJhbGciOiJkaXIifQ..aXY.${sha256(text)}.dGFn`;
}

/** A secret of the tenant, set by the secret key. */
export async function createSecret(
  db: TestDatabase,
  tenant: TestTenant,
  name: string,
  allowed_types: string[] | null = ["*"],
): Promise<Answer> {
  const caller = { kind: "service", tenant_id: tenant.id };
  const { version } = await db.call(service, "prepare_secret", { caller, name });
  const secret = { name, version, ciphertext: ciphertextOf(), key_id: "k1", allowed_types };
  return await db.call(service, "set_secret", { caller, secret });
}

export function tick(db: TestDatabase): Promise<Answer> {
  return db.call(service, "tick");
}

/** Rows as the actor sees them; what the statement changes is undone. */
export async function queryAs(db: TestDatabase, actor: Actor, text: string): Promise<Record<string, Answer>[]> {
  let rows: Record<string, Answer>[] = [];
  const undo = new Error("Undo");
  await db.sql.begin(async (tx) => {
    await tx`select set_config('request.jwt.claims', ${JSON.stringify(actor.claims ?? {})}, true),
      set_config('role', ${actor.role}, true)`;
    rows = [...await tx.unsafe(text)];
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
  return rows;
}

/** Messages sent on channels, in the order they were sent; of one channel, or of all. */
export async function sentMessages(db: TestDatabase, topic?: string): Promise<SentMessage[]> {
  const rows = await db.sql`
    select topic, event, private as is_private, payload from realtime.messages
    where ${topic ?? null}::text is null or topic = ${topic ?? null} order by inserted_at, id`;
  return rows.map((row) => ({ ...row, data: row.payload.data })) as unknown as SentMessage[];
}

export type SentMessage = { topic: string; event: string; is_private: boolean; payload: Answer; data: Answer };

/** The audit log of a tenant, oldest first, sealed up to now: of one action, or all of it. */
export async function auditEntries(db: TestDatabase, tenant: { id: string }, action?: string): Promise<Answer[]> {
  const caller = { kind: "service", tenant_id: tenant.id };
  const filters = action === undefined ? {} : { action };
  const { entries } = await db.call(service, "list_audit", { caller, filters, page_size: 200 });
  return entries.reverse();
}

/** Asserts that a call fails with the SQLSTATE, and answers the error. */
export async function refused(call: Promise<unknown>, sqlState: string, what = "the call"): Promise<Answer> {
  const error = await call.then(() => undefined, (error) => error);
  assert.ok(error, `${what} must fail with ${sqlState}`);
  assert.equal(error.code, sqlState, `${what} must fail with ${sqlState}, not with ${error.code}: ${error.message}`);
  return error;
}

/** Asserts that a call is refused in a way that its caller learns of as its own mistake. */
export async function refusedAsInvalid(call: Promise<unknown>, what = "the call"): Promise<void> {
  const error = await call.then(() => undefined, (error) => error);
  assert.ok(error, `${what} must be refused`);
  // Class 22 is "data exception": both sides answer it as invalid_request.
  assert.match(error.code ?? "", /^(MU004|MU005|MU015|22...)$/, `${what} fails with ${error.code}: ${error.message}`);
}

/** Asserts that every one of the calls is refused as its caller's mistake; names all that are not. */
export async function eachRefused<T>(cases: Record<string, T>, call: (value: T) => Promise<unknown>): Promise<void> {
  const problems: string[] = [];
  for (const [what, value] of Object.entries(cases)) {
    await refusedAsInvalid(call(value), what).catch((error) => problems.push(error.message));
  }
  assert.deepEqual(problems, []);
}

/** What an artifact's writer declares. */
export function fileOf(text: string, name = "file.txt"): Args & { size_bytes: number; sha256: string } {
  return { name, size_bytes: text.length, sha256: sha256(text), content_type: "text/plain" };
}
