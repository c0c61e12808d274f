import type { Args } from "../support/database.ts";
import { ciphertextOf, sha256, type TestWorker } from "../support/actors.ts";
import type { World } from "./actors.ts";

const never = "2100-01-01T00:00:00Z";
const file = { name: "a", size_bytes: 1, sha256: sha256("a") };

const newHash = () => sha256(crypto.randomUUID());

/** What the function `enroll` or `secrets` has verified of a device's proof. */
function proofOf({ actor }: TestWorker): Args {
  const { jkt } = actor.claims?.cnf as { jkt: string };
  return { fingerprint: jkt, proof_jti: crypto.randomUUID(), proof_expires_at: never };
}

/**
 * Arguments of every function of schema `muster` with which whoever may call it succeeds, naming things of the tenant;
 * `caller` comes on top where a function takes one.
 */
export const functionArguments: Readonly<Record<string, (world: World, isWorker: boolean) => Args>> = {
  add_member: ({ strangerId }) => ({ role: "viewer", user_id: strangerId }),
  authorize_artifact_finish: ({ pending, written }, isWorker) => ({ artifact_id: (isWorker ? written : pending).id }),
  authorize_client: () => ({}),
  authorize_secrets: () => ({}),
  bootstrap_tenant: ({ strangerId }) => ({ name: "new", admin_user_id: strangerId }),
  bridge_queue: ({ queue, tenant }) => ({ queue: queue.name, type: "test", options: { tenant_id: tenant.id } }),
  cancel_jobs: ({ queued }) => ({ job_ids: [queued.id] }),
  change_member_role: ({ memberId }) => ({ user_id: memberId, role: "editor" }),
  change_schedule: ({ schedule }) => ({ schedule_id: schedule.id, changes: { cron: "@daily" } }),
  charge_address: () => ({ address: "192.0.2.1", purpose: "enroll" }),
  charge_refusal: () => ({ address: "192.0.2.1" }),
  claim_jobs: () => ({ want: 1 }),
  close_batch: ({ batch }) => ({ job_id: batch.id }),
  complete_jobs: ({ held }) => ({ results: [{ ...held, status: "succeeded", result: {} }] }),
  cordon_worker: ({ worker }) => ({ worker_id: worker.id }),
  create_api_key: ({ tenant }) => ({
    tenant_id: tenant.id,
    executor_name: "app",
    key_prefix: "msk_test",
    key_hash: newHash(),
  }),
  create_artifact: ({ held }, isWorker) => ({ artifact: { ...file, ...(isWorker && held) } }),
  create_enrollment_token: ({ tenant }) => ({
    tenant_id: tenant.id,
    name: "lab",
    token_hash: newHash(),
  }),
  create_realtime_trigger: ({ queue }) => ({ queue: queue.name, channel: "test" }),
  create_schedule: () => ({ schedule: { name: crypto.randomUUID(), cron: "@daily", job: { type: "test" } } }),
  create_tenant: () => ({ name: crypto.randomUUID() }),
  delete_schedule: ({ schedule }) => ({ schedule_id: schedule.id }),
  delete_secret: () => ({ name: "OLD" }),
  dismiss_dead_letters: () => ({ filter: {} }),
  drain_worker: ({ worker }) => ({ worker_id: worker.id }),
  enroll_worker: ({ tokenHash }) => ({
    token_hash: tokenHash,
    worker: {
      public_jwk: {},
      fingerprint: sha256("device"),
      proof_jti: crypto.randomUUID(),
      proof_expires_at: never,
    },
  }),
  finish_artifact: ({ pending }) => ({ artifact_id: pending.id, size_bytes: 1, sha256: sha256("b") }),
  get_artifact: ({ artifact }) => ({ artifact_id: artifact.id }),
  get_job: ({ queued }) => ({ job_id: queued.id }),
  get_limits: () => ({}),
  get_load: () => ({}),
  get_schedule: ({ schedule }) => ({ schedule_id: schedule.id }),
  get_worker: ({ worker }) => ({ worker_id: worker.id }),
  goodbye: () => ({}),
  health: () => ({}),
  heartbeat: ({ held }) => ({ running: [held] }),
  hello: ({ held }) => ({ worker: { capabilities: ["compute/basic"] }, running: [held] }),
  hold_resources: () => ({ resources: [{ name: "model" }] }),
  issue_api_key: () => ({ executor_name: "app", key_prefix: "msk_test", key_hash: newHash() }),
  issue_enrollment_token: () => ({ name: "lab", token_hash: newHash() }),
  list_api_keys: () => ({}),
  list_artifacts: ({ queued }) => ({ job_id: queued.id }),
  list_audit: () => ({}),
  list_concurrency_keys: () => ({}),
  list_dead_letters: () => ({}),
  list_enrollment_tokens: () => ({}),
  list_job_events: ({ queued }) => ({ job_id: queued.id }),
  list_jobs: () => ({}),
  list_members: () => ({}),
  list_schedules: () => ({}),
  list_resources: () => ({}),
  list_rate_limits: () => ({}),
  list_secrets: () => ({}),
  list_secrets_to_rotate: () => ({ key_id: "k2" }),
  list_tenants: () => ({}),
  list_workers: () => ({}),
  open_secrets: ({ busyWorker, held }) => ({ worker_id: busyWorker.id, ...proofOf(busyWorker), ...held }),
  pause_schedule: ({ schedule }) => ({ schedule_id: schedule.id }),
  prepare_secret: () => ({ name: "NEW" }),
  preview_schedule: () => ({ cron: "@daily" }),
  refresh_worker: ({ busyWorker }) => ({ worker_id: busyWorker.id, ...proofOf(busyWorker) }),
  reject_artifact: ({ pending }) => ({ artifact_id: pending.id, reason: "The bytes differ" }),
  remove_member: ({ memberId }) => ({ user_id: memberId }),
  explain_job: ({ queued }) => ({ job_id: queued.id }),
  explain_submission: () => ({ job: { type: "test" } }),
  rebind_job: ({ queued }) => ({ job_id: queued.id, worker_id: null }),
  release_resources: () => ({ names: ["model"] }),
  replay_dead_letters: () => ({ filter: {} }),
  report_events: ({ held }) => ({ events: [{ ...held, number: 1, kind: "progress", data: {} }] }),
  resume_schedule: ({ schedule }) => ({ schedule_id: schedule.id }),
  resume_worker: ({ worker }) => ({ worker_id: worker.id }),
  retry_job: ({ ended }) => ({ job_id: ended.id }),
  revoke_api_key: ({ key }) => ({ key_id: key.id }),
  revoke_enrollment_token: ({ token }) => ({ token_id: token.id }),
  revoke_worker: ({ worker }) => ({ worker_id: worker.id }),
  rotate_api_key: ({ key }) => ({ key_id: key.id, key_prefix: "msk_test", key_hash: newHash() }),
  rotate_secrets: () => ({ key_id: "k2", items: [] }),
  rotate_worker_key: ({ busyWorker }) => ({
    worker_id: busyWorker.id,
    ...proofOf(busyWorker),
    new_jwk: { kty: "EC" },
    new_fingerprint: newHash(),
  }),
  run_schedule: ({ schedule }) => ({ schedule_id: schedule.id }),
  set_audit_retention: () => ({ days: 30 }),
  set_concurrency_key: () => ({ key: "printer", max_running: 1 }),
  set_measured_capabilities: ({ worker }) => ({ worker_id: worker.id, capabilities: ["compute/basic"] }),
  set_limits: () => ({ limits: { workers: 5 } }),
  set_secret: () => ({
    secret: { name: "NEW", version: 1, ciphertext: ciphertextOf(), key_id: "k1", allowed_types: ["test"] },
  }),
  submit_jobs: () => ({ jobs: [{ type: "test" }] }),
  tick: () => ({}),
  unbridge_queue: ({ queue }) => ({ queue: queue.name }),
  uncordon_worker: ({ worker }) => ({ worker_id: worker.id }),
  verify_audit: () => ({}),
};
