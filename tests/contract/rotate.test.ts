import assert from "node:assert/strict";
import { decodeJwt } from "jose";
import { deviceFingerprint } from "../../shared/auth/device-proof.ts";
import { EnrollAnswer } from "../../shared/contracts/enroll.ts";
import { Device, enrollDevice, workerRpc } from "../support/device.ts";
import { project } from "../support/project.ts";
import { assertProblem } from "../support/problem.ts";
import { api, createEnrollmentToken, createTenant } from "../support/tenant.ts";

const open = api(null);
const rotate = (json: unknown) => open("/enroll/rotate", { json });

async function newWorker() {
  const tenant = await createTenant();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  return { tenant, token: enrollmentToken, ...await enrollDevice(enrollmentToken) };
}

Deno.test("POST /enroll/rotate gives a worker another key, and the old key and its tokens are void at once", async () => {
  const { device, enrolled } = await newWorker();
  const { workerId } = enrolled;
  const next = await Device.create();
  const { status, body } = await rotate(await device.rotateRequest(workerId, next));
  assert.equal(status, 200, JSON.stringify(body));
  const rotated = EnrollAnswer.strict().parse(body);
  assert.deepEqual([rotated.workerId, rotated.name], [workerId, enrolled.name]);
  assert.deepEqual(decodeJwt(rotated.accessToken)["cnf"], { jkt: await deviceFingerprint(next.publicJwk) });

  assert.equal((await workerRpc(rotated.accessToken, "hello", { worker: {} })).worker_id, workerId);
  await assert.rejects(workerRpc(enrolled.accessToken, "hello", { worker: {} }), { code: "unauthenticated" });
  assertProblem(await api(enrolled.accessToken)(`/artifacts/${crypto.randomUUID()}`), "unauthenticated");
  const refresh = async (by: Device) =>
    open("/enroll/refresh", { json: { workerId, proof: await by.refreshProof(workerId) } });
  assertProblem(await refresh(device), "proof_invalid");
  assert.equal((await refresh(next)).body.workerId, workerId);
});

Deno.test("a rotation needs a proof of each key, made for each other and for this worker", async () => {
  const { device, enrolled: { workerId } } = await newWorker();
  const [next, other] = [await Device.create(), await Device.create()];
  const good = await device.rotateRequest(workerId, next);
  const second = await device.rotateRequest(workerId, next);
  const wrong: Record<string, unknown> = {
    "another new key than the old one named": { ...good, publicJwk: other.publicJwk },
    "the new key's proof by another key": { ...good, newProof: await other.succeedProof(workerId, good.proof) },
    "the new key's proof by the old key": { ...good, newProof: await device.succeedProof(workerId, good.proof) },
    "the new key's proof for another proof of the old": { ...good, newProof: second.newProof },
    "the old key's proof twice": { ...good, newProof: good.proof },
    "a proof for a refresh instead": { ...good, proof: await device.refreshProof(workerId) },
    "a proof for another worker": { ...good, workerId: crypto.randomUUID() },
    "a proof by a key that is not the worker's": await other.rotateRequest(workerId, next),
    "a worker that does not exist": await device.rotateRequest(crypto.randomUUID(), next),
  };
  for (const [what, json] of Object.entries(wrong)) {
    const answer = await rotate(json);
    assert.equal(answer.body.code, "proof_invalid", what);
    assertProblem(answer, "proof_invalid");
  }
  const early = await device.rotateRequest(workerId, next, { now: () => Date.now() - 120_000 });
  assertProblem(await rotate(early), "clock_skewed");
  assertProblem(await rotate({ ...good, newProof: undefined }), "invalid_request", /newProof/);
  assertProblem(await rotate({ ...good, publicJwk: { ...good.publicJwk, d: "AAAA" } }), "invalid_request", /publicJwk/);
  assert.equal((await rotate(good)).status, 200, "none of them used the good proof up");
});

Deno.test("a rotation counts once, also when the keys go back and forth", async () => {
  const { device, enrolled: { workerId } } = await newWorker();
  const next = await Device.create();
  const there = await device.rotateRequest(workerId, next);
  assert.equal((await rotate(there)).status, 200);
  assertProblem(await rotate(there), "proof_invalid");
  assert.equal((await rotate(await next.rotateRequest(workerId, device))).status, 200);
  assertProblem(await rotate(there), "proof_replayed");
});

Deno.test("of rotations at the same time one counts, and its key is the worker's", async () => {
  const { device, enrolled: { workerId } } = await newWorker();
  const candidates = await Promise.all(Array.from({ length: 6 }, () => Device.create()));
  const answers = await Promise.all(candidates.map(async (next) => rotate(await device.rotateRequest(workerId, next))));
  const winners = candidates.filter((_, index) => answers[index]!.status === 200);
  assert.equal(winners.length, 1, JSON.stringify(answers.map(({ body }) => body.code ?? body.workerId)));
  for (const answer of answers) if (answer.status !== 200) assertProblem(answer, "proof_invalid");
  for (const candidate of candidates) {
    const proof = await candidate.refreshProof(workerId);
    const { status } = await open("/enroll/refresh", { json: { workerId, proof } });
    assert.equal(status === 200, candidate === winners[0]);
  }
});

Deno.test("a key that is another worker's already is refused, and the worker keeps its own; in another tenant it is free", async () => {
  const { device, enrolled: { workerId }, token } = await newWorker();
  const taken = await enrollDevice(token);
  assertProblem(await rotate(await device.rotateRequest(workerId, taken.device)), "conflict");
  assertProblem(await rotate(await device.rotateRequest(workerId, device)), "conflict");
  const proof = await device.refreshProof(workerId);
  assert.equal((await open("/enroll/refresh", { json: { workerId, proof } })).status, 200);
  const stranger = await newWorker();
  assert.equal((await rotate(await device.rotateRequest(workerId, stranger.device))).status, 200);
});

Deno.test("a revoked worker cannot change its key", async () => {
  const { tenant, device, enrolled: { workerId } } = await newWorker();
  const operator = api(project.secretKey, { "x-tenant-id": tenant.id });
  assert.equal((await operator(`/workers/${workerId}/revoke`, { method: "POST" })).status, 200);
  assertProblem(await rotate(await device.rotateRequest(workerId, await Device.create())), "worker_revoked");
});
