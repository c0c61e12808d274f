import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Artifact, ArtifactList, CreateArtifactAnswer, DownloadAnswer } from "../../shared/contracts/artifacts.ts";
import { claimJobs, enrollDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { type Api, api, createApp, createEnrollmentToken } from "../support/tenant.ts";

const text = new TextEncoder().encode("The bytes of an artifact: äöü\n");

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function declared(bytes: Uint8Array, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { name: "input.txt", sizeBytes: bytes.byteLength, sha256: sha256(bytes), contentType: "text/plain", ...more };
}

async function put({ upload }: CreateArtifactAnswer, bytes: Uint8Array<ArrayBuffer>): Promise<number> {
  const response = await fetch(upload.url, { method: upload.method, headers: upload.headers, body: bytes });
  await response.body?.cancel();
  return response.status;
}

async function create(app: Api, json: Record<string, unknown>): Promise<CreateArtifactAnswer> {
  const { status, body } = await app("/artifacts", { json });
  assert.equal(status, 201, JSON.stringify(body));
  return CreateArtifactAnswer.strict().parse(body);
}

/** Creates, uploads and finishes. */
async function store(app: Api, bytes: Uint8Array<ArrayBuffer>, more: Record<string, unknown> = {}): Promise<Artifact> {
  const created = await create(app, declared(bytes, more));
  assert.ok(await put(created, bytes) < 300);
  const { status, body } = await app(`/artifacts/${created.artifact.id}/finish`, { method: "POST" });
  assert.equal(status, 200, JSON.stringify(body));
  return Artifact.strict().parse(body);
}

async function download(app: Api, id: string): Promise<Uint8Array> {
  const { status, body } = await app(`/artifacts/${id}/download`);
  assert.equal(status, 200, JSON.stringify(body));
  const { url } = DownloadAnswer.strict().parse(body);
  const response = await fetch(url);
  assert.equal(response.status, 200);
  return new Uint8Array(await response.arrayBuffer());
}

Deno.test("an artifact travels up and down by presigned URLs, byte for byte", async () => {
  const { api: app } = await createApp();
  const created = await create(app, declared(text, { name: "Übersicht 1.txt" }));
  assert.equal(created.artifact.status, "pending");
  assert.ok(Date.parse(created.upload.expiresAt) > Date.now());
  assertProblem(await app(`/artifacts/${created.artifact.id}/download`), "conflict", /pending/);
  assertProblem(
    await app(`/artifacts/${created.artifact.id}/finish`, { method: "POST" }),
    "conflict",
    /nothing was uploaded/,
  );

  const artifact = await store(app, text, { name: "Übersicht 1.txt" });
  assert.deepEqual([artifact.status, artifact.name], ["ready", "Übersicht 1.txt"]);
  assert.deepEqual(await download(app, artifact.id), text);
  const again = await app(`/artifacts/${artifact.id}/finish`, { method: "POST" });
  assert.deepEqual([again.status, again.body], [200, artifact]);
  assert.deepEqual((await app(`/artifacts/${artifact.id}`)).body, artifact);
});

Deno.test("empty and large artifacts travel too", async () => {
  const { api: app } = await createApp();
  const empty = await store(app, new Uint8Array(0), { name: "empty" });
  assert.equal((await download(app, empty.id)).byteLength, 0);
  const large = new Uint8Array(20 * 1024 * 1024);
  for (let at = 0; at < large.length; at += 65_536) crypto.getRandomValues(large.subarray(at, at + 65_536));
  const stored = await store(app, large, { name: "large.bin", contentType: "application/octet-stream" });
  assert.equal(sha256(await download(app, stored.id)), sha256(large));
});

Deno.test("bytes that are not those declared are rejected and removed", async () => {
  const { api: app } = await createApp();
  const slips: [Record<string, unknown>, RegExp][] = [
    [{ sha256: sha256(new Uint8Array(1)) }, /sha256/],
    [{ sizeBytes: text.byteLength - 1 }, /more were uploaded/],
    [{ sizeBytes: text.byteLength + 1 }, /were declared/],
  ];
  for (const [slip, detail] of slips) {
    const created = await create(app, declared(text, slip));
    assert.ok(await put(created, text) < 300);
    const finish = `/artifacts/${created.artifact.id}/finish`;
    assertProblem(await app(finish, { method: "POST" }), "artifact_mismatch", detail);
    assert.equal((await app(`/artifacts/${created.artifact.id}`)).body.status, "rejected");
    assertProblem(await app(finish, { method: "POST" }), "conflict", /rejected/);
    assertProblem(await app(`/artifacts/${created.artifact.id}/download`), "conflict", /rejected/);
  }
});

Deno.test("bytes that were verified cannot be replaced by the same upload URL", async () => {
  const { api: app } = await createApp();
  const created = await create(app, declared(text));
  assert.ok(await put(created, text) < 300);
  assert.equal((await app(`/artifacts/${created.artifact.id}/finish`, { method: "POST" })).status, 200);
  const other = text.map((byte) => byte ^ 1);
  assert.ok(await put(created, other) >= 400);
  assert.deepEqual(await download(app, created.artifact.id), text);
});

Deno.test("POST /artifacts refuses what is not an artifact", async () => {
  const { api: app } = await createApp();
  const refused: [Record<string, unknown>, RegExp][] = [
    [{ name: "" }, /name/],
    [{ name: "a\0b" }, /NUL/],
    [{ sizeBytes: -1 }, /sizeBytes/],
    [{ sizeBytes: 1.5 }, /sizeBytes/],
    [{ sizeBytes: 50 * 1024 * 1024 + 1 }, /sizeBytes/],
    [{ sha256: "abc" }, /sha256/],
    [{ sha256: sha256(text).toUpperCase() }, /sha256/],
    [{ contentType: "text/plain\r\nx-evil: 1" }, /contentType/],
    [{ jobId: crypto.randomUUID() }, /attempt/],
    [{ path: "../../other" }, /path unknown field/],
  ];
  for (const [slip, detail] of refused) {
    assertProblem(await app("/artifacts", { json: declared(text, slip) }), "invalid_request", detail);
  }
});

Deno.test("an artifact of another tenant does not exist", async () => {
  const [mine, theirs] = [await createApp(), await createApp()];
  const artifact = await store(theirs.api, text);
  const path = `/artifacts/${artifact.id}`;
  assertProblem(await mine.api(path), "not_found");
  assertProblem(await mine.api(`${path}/download`), "not_found");
  assertProblem(await mine.api(`${path}/finish`, { method: "POST" }), "not_found");
  assertProblem(await mine.api("/jobs", { json: { type: "a", inputs: [artifact.id] } }), "not_found");
  assertProblem(await mine.api(`/artifacts?jobId=${crypto.randomUUID()}`), "not_found");
});

Deno.test("a worker reads the inputs of the job it holds and writes its outputs, and no others", async () => {
  const { api: app, tenant } = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const holder = await enrollDevice(enrollmentToken, { name: "holder" });
  const bystander = await enrollDevice(enrollmentToken, { name: "bystander", capabilities: ["other/thing"] });
  for (const { rpc } of [holder, bystander]) await rpc("hello", { worker: { slots: 1 }, running: [] });
  const input = await store(app, text);
  const foreign = await store(app, text);
  const { body: job } = await app("/jobs", {
    json: { type: "file.digest", requires: ["compute/basic"], inputs: [input.id] },
  });
  assert.deepEqual(job.inputs, [input.id]);
  const worker = api(holder.enrolled.accessToken);
  assertProblem(await api(bystander.enrolled.accessToken)(`/artifacts/${input.id}/download`), "not_found");
  assert.equal((await claimJobs(holder.rpc))[0].job_id, job.id);
  assert.deepEqual(await download(worker, input.id), text);
  assertProblem(await worker(`/artifacts/${foreign.id}/download`), "not_found");

  const report = new TextEncoder().encode('{"lines": 1}');
  const output = { name: "report.json", contentType: "application/json", jobId: job.id };
  assertProblem(await worker("/artifacts", { json: declared(report, { ...output, attempt: 2 }) }), "stale_attempt");
  assertProblem(
    await api(bystander.enrolled.accessToken)("/artifacts", { json: declared(report, { ...output, attempt: 1 }) }),
    "stale_attempt",
  );
  assertProblem(await app("/artifacts", { json: declared(report, { ...output, attempt: 1 }) }), "forbidden");
  const stored = await store(worker, report, { ...output, attempt: 1 });
  assert.deepEqual([stored.jobId, stored.attempt, stored.workerId], [job.id, 1, holder.enrolled.workerId]);

  const late = await create(worker, declared(report, { ...output, attempt: 1, name: "late.json" }));
  await holder.rpc("complete_jobs", { results: [{ job_id: job.id, attempt: 1, status: "succeeded" }] });
  assert.ok(await put(late, report) < 300);
  assertProblem(await worker(`/artifacts/${late.artifact.id}/finish`, { method: "POST" }), "stale_attempt");
  assertProblem(await worker(`/artifacts/${input.id}/download`), "not_found");

  const { status, body } = await app(`/artifacts?jobId=${job.id}`);
  assert.equal(status, 200);
  const { artifacts } = ArtifactList.strict().parse(body);
  assert.deepEqual(artifacts.map(({ id }) => id), [input.id, stored.id]);
  assert.deepEqual(await download(app, stored.id), report);
});
