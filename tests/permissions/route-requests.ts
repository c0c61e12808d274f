import { createHash } from "node:crypto";
import { makeSealingKey } from "../../shared/auth/sealed-secrets.ts";
import { createUser } from "../conformance/auth/support/users.ts";
import { Device, enrollDevice, type EnrolledDevice } from "../support/device.ts";
import { type Api, type ApiRequest, createEnrollmentToken } from "../support/tenant.ts";

/** A tenant as routes are asked about it. */
export interface Scene {
  readonly tenantId: string;
  /** The tenant's own admin: prepares what a request is about. */
  readonly admin: Api;
  /** Holds the job `held`. */
  readonly worker: EnrolledDevice;
  readonly held: { readonly jobId: string; readonly attempt: number };
}

/** The caller that a request is made for, as far as requests differ. */
export interface Asker {
  readonly isWorker: boolean;
}

export type RouteRequest = { readonly path: string } & ApiRequest;

const file = { name: "a.txt", sizeBytes: 1, sha256: createHash("sha256").update("a").digest("hex") };
// A type that no worker of the scene serves, so that nothing changes while it is looked at.
const job = { type: "test", requires: ["nobody/has"] };

async function created(scene: Scene, path: string, json: unknown): Promise<string> {
  const { status, body } = await scene.admin(path, { json });
  if (status !== 201) throw new Error(`Cannot prepare ${path}: ${JSON.stringify(body)}`);
  return (body.artifact ?? body).id;
}

const newJob = (scene: Scene): Promise<string> => created(scene, "/jobs", job);

async function endedJob(scene: Scene): Promise<string> {
  const id = await newJob(scene);
  await scene.admin(`/jobs/${id}/cancel`, { method: "POST" });
  return id;
}

async function newArtifact(scene: Scene, { isWorker }: Asker): Promise<string> {
  if (!isWorker) return created(scene, "/artifacts", file);
  const { artifact } = await artifactOfWorker(scene);
  return artifact.id;
}

async function artifactOfWorker({ worker, held }: Scene) {
  const artifact = { name: "a.txt", size_bytes: 1, sha256: file.sha256, job_id: held.jobId, attempt: held.attempt };
  return { artifact: await worker.rpc("create_artifact", { caller: null, artifact }) };
}

async function newWorker({ tenantId }: Scene): Promise<string> {
  const { enrollmentToken } = await createEnrollmentToken(tenantId);
  return (await enrollDevice(enrollmentToken)).enrolled.workerId;
}

/** By method and path of the OpenAPI document: a request that whoever may make it succeeds with, new at each call. */
export const routeRequests: Readonly<Record<string, (scene: Scene, asker: Asker) => Promise<RouteRequest>>> = {
  "GET /artifacts": async (scene) => ({ path: `/artifacts?jobId=${await newJob(scene)}` }),
  "GET /artifacts/{id}": async (scene, asker) => ({ path: `/artifacts/${await newArtifact(scene, asker)}` }),
  "GET /artifacts/{id}/download": async (scene, asker) => ({
    path: `/artifacts/${await newArtifact(scene, asker)}/download`,
  }),
  "GET /health": () => Promise.resolve({ path: "/health" }),
  "GET /jobs": () => Promise.resolve({ path: "/jobs" }),
  "GET /jobs/concurrency-keys": () => Promise.resolve({ path: "/jobs/concurrency-keys" }),
  "GET /jobs/rate-limits": () => Promise.resolve({ path: "/jobs/rate-limits" }),
  "GET /jobs/dead-letters": () => Promise.resolve({ path: "/jobs/dead-letters" }),
  "GET /jobs/{id}": async (scene) => ({ path: `/jobs/${await newJob(scene)}` }),
  "GET /jobs/{id}/events": async (scene) => ({ path: `/jobs/${await newJob(scene)}/events` }),
  "GET /jobs/{id}/wait": async (scene) => ({ path: `/jobs/${await endedJob(scene)}/wait` }),
  "GET /workers": () => Promise.resolve({ path: "/workers" }),
  "GET /workers/{id}": async (scene) => ({ path: `/workers/${await newWorker(scene)}` }),
  "POST /artifacts": ({ held }, { isWorker }) =>
    Promise.resolve({ path: "/artifacts", json: isWorker ? { ...file, ...held } : file }),
  "POST /artifacts/{id}/finish": async (scene, asker) => ({
    path: `/artifacts/${await newArtifact(scene, asker)}/finish`,
    method: "POST",
  }),
  "POST /enroll": async ({ tenantId }) => {
    const { enrollmentToken } = await createEnrollmentToken(tenantId);
    return { path: "/enroll", json: await (await Device.create()).enrollRequest(enrollmentToken) };
  },
  "POST /enroll/client-token": () => Promise.resolve({ path: "/enroll/client-token", method: "POST" }),
  "POST /enroll/refresh": async ({ worker: { device, enrolled: { workerId } } }) => ({
    path: "/enroll/refresh",
    json: { workerId, proof: await device.refreshProof(workerId) },
  }),
  "POST /jobs": () => Promise.resolve({ path: "/jobs", json: job }),
  "POST /jobs/dead-letters/dismiss": () =>
    Promise.resolve({ path: "/jobs/dead-letters/dismiss", json: { filter: { type: "nobody's" } } }),
  "POST /jobs/dead-letters/replay": () =>
    Promise.resolve({ path: "/jobs/dead-letters/replay", json: { filter: { type: "nobody's" } } }),
  "GET /jobs/{id}/explain": async (scene) => ({ path: `/jobs/${await newJob(scene)}/explain` }),
  "POST /jobs/explain": () => Promise.resolve({ path: "/jobs/explain", json: job }),
  "POST /jobs/{id}/cancel": async (scene) => ({ path: `/jobs/${await newJob(scene)}/cancel`, method: "POST" }),
  "POST /jobs/{id}/close": async (scene) => {
    const { body } = await scene.admin("/jobs", { json: { jobs: [], batch: { open: true } } });
    return { path: `/jobs/${body.batch.id}/close`, method: "POST" };
  },
  "POST /jobs/{id}/retry": async (scene) => ({ path: `/jobs/${await endedJob(scene)}/retry`, method: "POST" }),
  "GET /workers/resources": () => Promise.resolve({ path: "/workers/resources" }),
  "POST /jobs/{id}/rebind": async (scene) => ({
    path: `/jobs/${await newJob(scene)}/rebind`,
    json: { workerId: null },
  }),
  "POST /workers/{id}/cordon": async (scene) => ({ path: `/workers/${await newWorker(scene)}/cordon`, method: "POST" }),
  "POST /workers/{id}/uncordon": async (scene) => ({
    path: `/workers/${await newWorker(scene)}/uncordon`,
    method: "POST",
  }),
  "PUT /jobs/concurrency-keys/{key}": () =>
    Promise.resolve({ path: "/jobs/concurrency-keys/printer%203", method: "PUT", json: { limit: 3 } }),
  "POST /workers/{id}/drain": async (scene) => ({ path: `/workers/${await newWorker(scene)}/drain`, method: "POST" }),
  "POST /workers/{id}/resume": async (scene) => ({ path: `/workers/${await newWorker(scene)}/resume`, method: "POST" }),
  "POST /workers/{id}/revoke": async (scene) => ({ path: `/workers/${await newWorker(scene)}/revoke`, method: "POST" }),
  "PUT /workers/{id}/measured-capabilities": async (scene) => ({
    path: `/workers/${await newWorker(scene)}/measured-capabilities`,
    method: "PUT",
    json: { capabilities: ["compute/basic"] },
  }),
  "GET /api/errors": () => Promise.resolve({ path: "/api/errors" }),
  "GET /api/errors/{code}": () => Promise.resolve({ path: "/api/errors/not_found" }),
  "GET /api/messages.json": () => Promise.resolve({ path: "/api/messages.json" }),
  "GET /api/openapi.json": () => Promise.resolve({ path: "/api/openapi.json" }),
  "GET /api/reference": () => Promise.resolve({ path: "/api/reference" }),
  "GET /audit": () => Promise.resolve({ path: "/audit" }),
  "GET /audit/verify": () => Promise.resolve({ path: "/audit/verify" }),
  "POST /audit/retention": () => Promise.resolve({ path: "/audit/retention", json: { days: 400 } }),
  "POST /enroll/rotate": async (scene) => {
    const { enrollmentToken } = await createEnrollmentToken(scene.tenantId);
    const { device, enrolled } = await enrollDevice(enrollmentToken);
    return { path: "/enroll/rotate", json: await device.rotateRequest(enrolled.workerId, await Device.create()) };
  },
  "GET /enroll/tokens": () => Promise.resolve({ path: "/enroll/tokens" }),
  "POST /enroll/tokens": () => Promise.resolve({ path: "/enroll/tokens", json: { name: "lab" } }),
  "POST /enroll/tokens/{id}/revoke": async (scene) => ({
    path: `/enroll/tokens/${await created(scene, "/enroll/tokens", { name: "lab" })}/revoke`,
    method: "POST",
  }),
  "GET /schedules": () => Promise.resolve({ path: "/schedules" }),
  "GET /schedules/{id}": async (scene) => ({ path: `/schedules/${await scheduleOf(scene)}` }),
  "POST /schedules": () => Promise.resolve({ path: "/schedules", json: newSchedule() }),
  "PATCH /schedules/{id}": async (scene) => ({
    path: `/schedules/${await scheduleOf(scene)}`,
    method: "PATCH",
    json: { cron: "@weekly" },
  }),
  "DELETE /schedules/{id}": async (scene) => ({ path: `/schedules/${await scheduleOf(scene)}`, method: "DELETE" }),
  "POST /schedules/preview": () => Promise.resolve({ path: "/schedules/preview", json: { cron: "@daily" } }),
  "POST /schedules/{id}/pause": async (scene) => ({
    path: `/schedules/${await scheduleOf(scene)}/pause`,
    method: "POST",
  }),
  "POST /schedules/{id}/resume": async (scene) => ({
    path: `/schedules/${await scheduleOf(scene)}/resume`,
    method: "POST",
  }),
  "POST /schedules/{id}/run": async (scene) => ({ path: `/schedules/${await scheduleOf(scene)}/run`, method: "POST" }),
  "GET /secrets": () => Promise.resolve({ path: "/secrets" }),
  "POST /secrets": () => Promise.resolve({ path: "/secrets", json: newSecret() }),
  "POST /secrets/{name}/delete": async (scene) => {
    const secret = newSecret();
    await scene.admin("/secrets", { json: secret });
    return { path: `/secrets/${secret.name}/delete`, json: {} };
  },
  "POST /secrets/open": async ({ worker: { device }, held }) => {
    const { publicJwk } = await makeSealingKey();
    return {
      path: "/secrets/open",
      json: { ...held, publicJwk, proof: await device.secretsProof({ ...held, publicJwk }) },
    };
  },
  "POST /secrets/rotate-master-key": () => Promise.resolve({ path: "/secrets/rotate-master-key", json: {} }),
  "GET /tenants": () => Promise.resolve({ path: "/tenants" }),
  "POST /tenants": () => Promise.resolve({ path: "/tenants", json: { name: crypto.randomUUID() } }),
  "GET /tenants/api-keys": () => Promise.resolve({ path: "/tenants/api-keys" }),
  "POST /tenants/api-keys": () => Promise.resolve({ path: "/tenants/api-keys", json: { executorName: "app" } }),
  "POST /tenants/api-keys/{id}/revoke": async (scene) => ({
    path: `/tenants/api-keys/${await newKey(scene)}/revoke`,
    method: "POST",
  }),
  "POST /tenants/api-keys/{id}/rotate": async (scene) => ({
    path: `/tenants/api-keys/${await newKey(scene)}/rotate`,
    json: {},
  }),
  "GET /tenants/limits": () => Promise.resolve({ path: "/tenants/limits" }),
  "POST /tenants/limits": () => Promise.resolve({ path: "/tenants/limits", json: { workers: 1000 } }),
  "GET /tenants/members": () => Promise.resolve({ path: "/tenants/members" }),
  "POST /tenants/members": async () => ({
    path: "/tenants/members",
    json: { userId: (await createUser()).id, role: "viewer" },
  }),
  "POST /tenants/members/{userId}/role": async (scene) => ({
    path: `/tenants/members/${await newMember(scene)}/role`,
    json: { role: "editor" },
  }),
  "POST /tenants/members/{userId}/remove": async (scene) => ({
    path: `/tenants/members/${await newMember(scene)}/remove`,
    method: "POST",
  }),
};

function newSecret(): { name: string; value: string; allowedTypes: string[] } {
  return { name: `S_${crypto.randomUUID().replaceAll("-", "_").toUpperCase()}`, value: "a value", allowedTypes: ["*"] };
}

const newSchedule = () => ({ name: crypto.randomUUID(), cron: "@yearly", job });

const scheduleOf = (scene: Scene): Promise<string> => created(scene, "/schedules", newSchedule());

const newKey = (scene: Scene): Promise<string> => created(scene, "/tenants/api-keys", { executorName: "app" });

async function newMember(scene: Scene): Promise<string> {
  const { id } = await createUser();
  await scene.admin("/tenants/members", { json: { userId: id, role: "viewer" } });
  return id;
}
