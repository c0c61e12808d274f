import {
  clientOf,
  createInput,
  createMember,
  createSecret,
  createTenant,
  createUser,
  createWorker,
  failed,
  sha256,
  submit,
  succeeded,
  type TestTenant,
  type TestWorker,
  userOf,
} from "../support/actors.ts";
import { type Actor, type Answer, type Args, service, TestDatabase } from "../support/database.ts";
import { Queue } from "../support/pgmq.ts";
import { createSchedule } from "../support/schedules.ts";

/** A tenant that has a row in every table, and things that its people, apps and workers may act on. */
export interface World {
  readonly tenant: TestTenant;
  readonly worker: TestWorker;
  /** Holds `held`; the other one holds nothing. */
  readonly busyWorker: TestWorker;
  readonly held: { readonly job_id: string; readonly attempt: number };
  readonly queued: Answer;
  readonly ended: Answer;
  readonly batch: Answer;
  readonly artifact: Answer;
  readonly pending: Answer;
  /** Announced by the busy worker, not yet uploaded. */
  readonly written: Answer;
  readonly token: Answer;
  /** Hash of that enrollment token. */
  readonly tokenHash: string;
  readonly key: Answer;
  /** Bridged: its messages become jobs. */
  readonly queue: Queue;
  /** A member, and a user who is none. */
  readonly memberId: string;
  readonly strangerId: string;
  readonly schedule: Answer;
  readonly admin: { readonly userId: string; readonly caller: Args; readonly actor: Actor };
}

/** Fills a tenant through the functions that its people, apps and workers use. */
export async function createWorld(db: TestDatabase): Promise<World> {
  const tenant = await createTenant(db);
  const admin = await createMember(db, tenant, "admin");
  const worker = await createWorker(db, tenant);
  await createSecret(db, tenant, "OLD");
  const input = await createInput(db, tenant);
  await submit(db, tenant, { inputs: [input.id] });
  const [claimed] = await worker.claim();
  await worker.complete([succeeded(claimed!, { of: tenant.id })]);
  await worker.complete([failed(claimed!)]);
  await submit(db, tenant, {});
  await worker.complete((await worker.claim()).map((job) => failed(job, { retryable: false })));
  const busyWorker = await createWorker(db, tenant);
  await submit(db, tenant, { concurrency_key: "k", inputs: [input.id], secrets: ["OLD"] });
  const [assigned] = await busyWorker.claim();
  const held = { job_id: assigned!.job_id, attempt: assigned!.attempt };
  const [queued, ended] = await submit(db, tenant, { requires: ["nobody/has"] }, { requires: ["nobody/has"] });
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [ended.id] });
  const [sticky] = await submit(db, tenant, { affinity: { key: "k", mode: "hard" } });
  await db.call(service, "cancel_jobs", { caller: tenant.caller, job_ids: [sticky.id] });
  await db.call(busyWorker.actor, "hold_resources", { resources: [{ name: "model" }] });
  await submit(db, tenant, { after: [queued.id], rate_limit: { key: "api", limit: 1, per_seconds: 1 } }, {
    requires: ["nobody/has"],
    rate_limit: { key: "api", limit: 1, per_seconds: 1 },
  });
  const { batch } = await db.call(service, "submit_jobs", { caller: tenant.caller, jobs: [], batch: { open: true } });
  const pending = await db.call(service, "create_artifact", {
    caller: tenant.caller,
    artifact: { name: "b", size_bytes: 1, sha256: sha256("b") },
  });
  const written = await db.call(busyWorker.actor, "create_artifact", {
    caller: null,
    artifact: { name: "c", size_bytes: 1, sha256: sha256("c"), ...held },
  });
  const tokenHash = sha256(crypto.randomUUID());
  const token = await db.call(service, "create_enrollment_token", {
    tenant_id: tenant.id,
    name: "lab",
    token_hash: tokenHash,
  });
  const key = await db.call(service, "create_api_key", {
    tenant_id: tenant.id,
    executor_name: "other app",
    key_prefix: "msk_test",
    key_hash: sha256(crypto.randomUUID()),
  });
  const queue = await Queue.create(db.sql);
  await db.call(service, "bridge_queue", { queue: queue.name, type: "test", options: { tenant_id: tenant.id } });
  const { userId: memberId } = await createMember(db, tenant, "viewer");
  const schedule = await createSchedule(db, tenant);
  await db.call(service, "set_limits", { caller: { kind: "service", tenant_id: tenant.id }, limits: { workers: 100 } });
  await db.call(service, "tick");
  return {
    tenant,
    worker,
    busyWorker,
    held,
    queued,
    ended,
    batch,
    artifact: input,
    pending,
    written,
    token,
    tokenHash,
    key,
    queue,
    memberId,
    strangerId: await createUser(db),
    schedule,
    admin,
  };
}

/** Everybody who may come to the door of a tenant. */
export interface Everybody {
  /** By the names of the matrix's columns: how each comes to Postgres with a token of its own. */
  readonly actors: Readonly<Record<string, Actor>>;
  /** How each is named by the Edge Functions that it calls; nobody is by whom they do not know. */
  readonly callers: Readonly<Record<string, Args>>;
}

export async function createEverybody(db: TestDatabase, own: World, foreign: World): Promise<Everybody> {
  const people: Record<string, { actor: Actor; caller: Args }> = {};
  for (const role of ["viewer", "publisher", "editor", "admin"] as const) {
    people[role] = await createMember(db, own.tenant, role);
  }
  const outsider = crypto.randomUUID();
  const { tenant } = own;
  return {
    actors: {
      "anon": { role: "anon", claims: { role: "anon" } },
      "outsider": userOf(outsider),
      ...Object.fromEntries(Object.entries(people).map(([role, { actor }]) => [role, actor])),
      "client": clientOf(tenant.id, tenant.executorId),
      "worker": own.busyWorker.actor,
      "other worker": foreign.worker.actor,
      "service": service,
    },
    callers: {
      "outsider": { kind: "member", user_id: outsider, tenant_id: tenant.id },
      ...Object.fromEntries(Object.entries(people).map(([role, { caller }]) => [role, caller])),
      "other admin": foreign.admin.caller,
      "key: read": await createKey(db, tenant, ["read"]),
      "key: submit": await createKey(db, tenant, ["read", "submit"]),
      "key: operate": await createKey(db, tenant, ["read", "operate"]),
      "service": { kind: "service", tenant_id: tenant.id },
    },
  };
}

async function createKey(db: TestDatabase, tenant: TestTenant, scopes: string[]): Promise<Args> {
  const hash = sha256(crypto.randomUUID());
  await db.call(service, "create_api_key", {
    tenant_id: tenant.id,
    executor_name: "app",
    key_prefix: "msk_test",
    key_hash: hash,
    scopes,
  });
  return { kind: "api_key", hash };
}
