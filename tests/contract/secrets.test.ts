import assert from "node:assert/strict";
import { compactDecrypt, decodeProtectedHeader } from "jose";
import postgres from "postgres";
import { makeSealingKey } from "../../shared/auth/sealed-secrets.ts";
import { limits } from "../../shared/contracts/limits.ts";
import { ForbiddenError } from "../../shared/errors.ts";
import { RotateMasterKeyAnswer, Secret, SecretList } from "../../shared/contracts/secrets.ts";
import { auditOf } from "../support/audit.ts";
import { claimJobs, enrollDevice, type EnrolledDevice } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { administrator, openSecrets, setSecret } from "../support/secrets.ts";
import { api, type ApiAnswer, createApp, createEnrollmentToken } from "../support/tenant.ts";

const value = `planted "värde"\n${"x".repeat(40)}🔑`;

/** A tenant with a machine that holds an attempt at a job with the secrets of the names, whose values they begin. */
async function createScene(...names: string[]) {
  const app = await createApp();
  const { enrollmentToken } = await createEnrollmentToken(app.tenant.id);
  const machine = await enrollDevice(enrollmentToken);
  for (const name of names) await setSecret(app.tenant.id, { name, value: `${name}: ${value}` });
  const jobId = await holdJob(app.api, machine, names);
  return { ...app, admin: administrator(app.tenant.id), enrollmentToken, machine, jobId };
}

async function holdJob(submit: ReturnType<typeof api>, machine: EnrolledDevice, secrets: string[]): Promise<string> {
  await machine.rpc("hello", { worker: { capabilities: ["compute/basic"], slots: 1 }, running: [] });
  const submitted = await submit("/jobs", { json: { type: "mail.send", secrets } });
  assert.equal(submitted.status, 201, JSON.stringify(submitted.body));
  assert.deepEqual(submitted.body.secrets, secrets);
  const jobs = await claimJobs(machine.rpc);
  assert.deepEqual([jobs[0].job_id, jobs[0].secrets], [submitted.body.id, secrets]);
  return submitted.body.id;
}

/** What the audit log tells of the tenant's secrets once they were set. */
async function openings(tenantId: string) {
  const entries = await auditOf(tenantId, "secret.");
  return entries.filter(({ action }) => action !== "secret.set");
}

Deno.test("a secret is set, listed, replaced and deleted, and no answer tells its value", async () => {
  const { tenant } = await createApp();
  const admin = administrator(tenant.id);
  const answers: ApiAnswer[] = [];
  const call: typeof admin = async (...args) => {
    const answer = await admin(...args);
    answers.push(answer);
    return answer;
  };
  const set = await call("/secrets", { json: { name: "MAIL_KEY", value, allowedTypes: ["mail.*"] } });
  assert.equal(set.status, 200, JSON.stringify(set.body));
  const secret = Secret.strict().parse(set.body);
  assert.deepEqual([secret.name, secret.version, secret.allowedTypes], ["MAIL_KEY", 1, ["mail.*"]]);
  assert.equal((await call("/secrets", { json: { name: "MAIL_KEY", value: `${value}2` } })).body.version, 2);
  await call("/secrets", { json: { name: "OTHER", value, allowedTypes: ["a"] } });
  const list = SecretList.strict().parse((await call("/secrets?limit=1")).body);
  assert.deepEqual([list.secrets.map(({ name, version }) => [name, version]), list.nextCursor], [
    [["MAIL_KEY", 2]],
    "MAIL_KEY",
  ]);
  const rest = SecretList.strict().parse((await call(`/secrets?limit=1&cursor=${list.nextCursor}`)).body);
  assert.deepEqual([rest.secrets.map(({ name }) => name), rest.nextCursor], [["OTHER"], null]);
  const gone = await call("/secrets/MAIL_KEY/delete", { method: "POST" });
  assert.deepEqual([gone.status, gone.body.version], [200, 2]);
  assertProblem(await call("/secrets/MAIL_KEY/delete", { method: "POST" }), "not_found");
  const told = JSON.stringify(answers.map(({ body }) => body));
  assert.ok(!told.includes("planted") && !told.includes("ciphertext"), told);
});

Deno.test("only who administers the tenant reaches its secrets", async () => {
  const { api: app, tenant, machine } = await createScene("KEY");
  const set = { json: { name: "KEY", value, allowedTypes: ["*"] } };
  for (
    const [path, request] of [["/secrets", {}], ["/secrets", set], ["/secrets/KEY/delete", { method: "POST" }]] as const
  ) {
    assertProblem(await app(path, request), "forbidden");
    assertProblem(await api(machine.enrolled.accessToken)(path, request), "forbidden");
    assertProblem(await api(null)(path, request), "unauthenticated");
  }
  assertProblem(await app("/secrets/rotate-master-key", { json: {} }), "forbidden");
  assertProblem(await app("/secrets/open", { json: {} }), "forbidden");
  const other = await createApp();
  assertProblem(await administrator(other.tenant.id)("/secrets/KEY/delete", { method: "POST" }), "not_found");
  assert.deepEqual((await administrator(other.tenant.id)("/secrets")).body.secrets, []);
  assert.deepEqual((await administrator(tenant.id)("/secrets")).body.secrets[0].name, "KEY");
});

Deno.test("what does not fit is refused without a word of the value", async () => {
  const { tenant } = await createApp();
  const admin = administrator(tenant.id);
  const good = { name: "KEY", value, allowedTypes: ["a"] };
  const planted = "planted-where-it-does-not-belong";
  const refused: Record<string, unknown> = {
    "a short value": { ...good, value: "12345" },
    "a value that is an object": { ...good, value: { planted } },
    "a value that is a list": { ...good, value: [planted] },
    "a value with NUL": { ...good, value: `${planted}\0` },
    "a value over 16 KiB": { ...good, value: planted.repeat(600) },
    "a value as the name": { ...good, name: planted },
    "a value as a type": { ...good, allowedTypes: [`${planted}!`] },
    "a value in another field": { ...good, note: planted },
    "no types for a new secret": { name: "KEY", value: planted },
    "no type": { ...good, value: planted, allowedTypes: [] },
    "a list": [planted],
    "a text": planted,
  };
  for (const [what, json] of Object.entries(refused)) {
    const answer = await admin("/secrets", { json });
    assertProblem(answer, what.startsWith("no type ") ? "too_many" : "invalid_request");
    assert.ok(!JSON.stringify(answer.body).includes("planted"), `${what}: ${JSON.stringify(answer.body)}`);
  }
  const broken = await admin("/secrets", { raw: `{"name":"KEY","value":"${planted}"` });
  assertProblem(broken, "invalid_request");
  const huge = await admin("/secrets", { raw: JSON.stringify({ ...good, value: planted.repeat(5_000) }) });
  assertProblem(huge, "payload_too_large");
  assert.ok(!JSON.stringify([broken.body, huge.body]).includes("planted"));
  assertProblem(await admin("/secrets?limit=0"), "invalid_request");
  const largest = "é".repeat(limits.secretBytes / 2);
  assert.equal((await admin("/secrets", { json: { ...good, value: largest } })).status, 200);
});

Deno.test("of many that set a secret at once, each is stored in turn", async () => {
  const { tenant } = await createApp();
  const admin = administrator(tenant.id);
  await setSecret(tenant.id, { name: "KEY", value });
  const answers = await Promise.all(
    [1, 2, 3].map((n) => admin("/secrets", { json: { name: "KEY", value: `${value}${n}` } })),
  );
  assert.deepEqual(
    answers.map(({ body }) => body.version).sort(),
    [2, 3, 4],
    JSON.stringify(answers.map((a) => a.body)),
  );
});

Deno.test("the database holds a ciphertext that is bound to its place, and nobody can select it", async () => {
  const { tenant, machine } = await createScene("KEY");
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  const [row] = await sql`select ciphertext, key_id from muster.secrets where tenant_id = ${tenant.id}`.finally(() =>
    sql.end()
  );
  const { kid, tenantId, name, version } = decodeProtectedHeader(row!["ciphertext"]) as Record<string, unknown>;
  assert.deepEqual([kid, tenantId, name, version], [row!["key_id"], tenant.id, "KEY", 1]);
  for (const token of [project.publishableKey, machine.enrolled.accessToken]) {
    const response = await fetch(`${project.url}/rest/v1/secrets?select=*`, {
      headers: { apikey: project.publishableKey, authorization: `Bearer ${token}`, "accept-profile": "muster" },
    });
    const text = await response.text();
    assert.ok(!text.includes("ciphertext") && !text.includes(row!["ciphertext"]), text);
  }
  const opening = {
    worker_id: machine.enrolled.workerId,
    fingerprint: "",
    proof_jti: "",
    proof_expires_at: new Date().toISOString(),
    job_id: crypto.randomUUID(),
    attempt: 1,
  };
  for (const [name, args] of Object.entries({ open_secrets: opening, list_secrets_to_rotate: { key_id: "x" } })) {
    await assert.rejects(machine.rpc(name, args), ForbiddenError, name);
  }
});

Deno.test("the worker that holds the attempt is given its job's secrets, sealed to the key it made", async () => {
  const { tenant, machine, jobId } = await createScene("ONE", "TWO");
  await setSecret(tenant.id, { name: "UNNAMED", value });
  const key = await makeSealingKey();
  const answer = await openSecrets(machine, { jobId, key });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  assert.deepEqual({ ...answer.values }, { ONE: `ONE: ${value}`, TWO: `TWO: ${value}` });
  assert.deepEqual(Object.keys(answer.body), ["sealed"]);
  assert.equal(answer.headers.get("cache-control"), "no-store");
  const { alg, enc } = decodeProtectedHeader(answer.body.sealed);
  assert.deepEqual([alg, enc], ["ECDH-ES", "A256GCM"]);
  await assert.rejects(compactDecrypt(answer.body.sealed, (await makeSealingKey()).privateKey));
  const opened = (await openings(tenant.id)).map(({ action, subject, data }) => ({ action, subject, data }));
  assert.deepEqual(opened, [{ action: "secret.opened", subject: jobId, data: { attempt: 1, names: ["ONE", "TWO"] } }]);
});

Deno.test("a stolen token, a stolen proof and a stolen answer open nothing, and each refusal is in the audit log", async () => {
  const { tenant, machine, enrollmentToken, jobId } = await createScene("KEY");
  const thief = await enrollDevice(enrollmentToken);
  const key = await makeSealingKey();
  const { publicJwk } = key;
  const stolen = machine.enrolled.accessToken;
  const proofOf = (jobId: string, attempt = 1) => machine.device.secretsProof({ jobId, attempt, publicJwk });

  // The token alone, with another machine's key or with none.
  assertProblem(await openSecrets(thief, { jobId, token: stolen }), "proof_invalid", /not by its device key/);
  assertProblem(await openSecrets(thief, { jobId, token: stolen, proof: "a.b.c" }), "proof_invalid");
  // The token of a sibling that does not hold the attempt.
  assertProblem(await openSecrets(thief, { jobId }), "stale_attempt");
  // A proof for another purpose, job, attempt or key.
  const refresh = await machine.device.refreshProof(machine.enrolled.workerId);
  assertProblem(await openSecrets(machine, { jobId, proof: refresh }), "proof_invalid", /aud/);
  assertProblem(
    await openSecrets(machine, { jobId, key, proof: await proofOf(crypto.randomUUID()) }),
    "proof_invalid",
    /job/,
  );
  assertProblem(await openSecrets(machine, { jobId, key, proof: await proofOf(jobId, 2) }), "proof_invalid", /att/);
  assertProblem(await openSecrets(machine, { jobId, proof: await proofOf(jobId) }), "proof_invalid", /sealing_jkt/);
  // A proof of this request with a key put in its place, and the request sent again.
  const proof = await proofOf(jobId);
  assertProblem(await openSecrets(thief, { jobId, token: stolen, proof }), "proof_invalid", /sealing_jkt/);
  assert.equal((await openSecrets(machine, { jobId, key, proof })).status, 200);
  assertProblem(await openSecrets(machine, { jobId, key, proof }), "proof_replayed");
  // A proof too old.
  const now = () => Date.now() - 120_000;
  assertProblem(await openSecrets(machine, { jobId, now }), "clock_skewed");

  const errors = (await openings(tenant.id)).map(({ data }) => data["error"] ?? "opened");
  assert.deepEqual(errors, [
    ...["MU012", "MU012", "MU006", "MU012", "MU012", "MU012", "MU012", "MU012", "opened", "MU013"],
  ]);
});

Deno.test("an attempt that was replaced, has ended or is another tenant's opens nothing", async () => {
  const { machine, jobId } = await createScene("KEY");
  const stranger = await createScene("KEY");
  assertProblem(await openSecrets(stranger.machine, { jobId }), "stale_attempt");
  assertProblem(await openSecrets(machine, { jobId, attempt: 2 }), "stale_attempt");
  await machine.rpc("complete_jobs", { results: [{ job_id: jobId, attempt: 1, status: "succeeded", result: 1 }] });
  assertProblem(await openSecrets(machine, { jobId }), "stale_attempt");
});

Deno.test("a revoked worker opens nothing with the token it still has", async () => {
  const { admin, tenant, machine, jobId } = await createScene("KEY");
  assert.equal((await admin(`/workers/${machine.enrolled.workerId}/revoke`, { method: "POST" })).status, 200);
  assertProblem(await openSecrets(machine, { jobId }), "worker_revoked");
  const last = (await openings(tenant.id)).at(-1)!;
  assert.deepEqual([last.action, last.data], ["secret.refused", { attempt: 1, error: "MU014" }]);
});

Deno.test("a secret deleted or closed to the type since is refused, with its name", async () => {
  const { admin, tenant, machine, jobId } = await createScene("KEY");
  await setSecret(tenant.id, { name: "KEY", value, allowedTypes: ["other"] });
  assertProblem(await openSecrets(machine, { jobId }), "secret_not_allowed", /secret KEY .*mail\.send/);
  await admin("/secrets/KEY/delete", { method: "POST" });
  assertProblem(await openSecrets(machine, { jobId }), "secret_not_allowed");
});

Deno.test("a job may name only secrets that are there and allow its type, and at most 20", async () => {
  const { api: app, tenant } = await createApp();
  await setSecret(tenant.id, { name: "KEY", value, allowedTypes: ["mail.*"] });
  const submit = (type: string, secrets: unknown) => app("/jobs", { json: { type, secrets } });
  assert.equal((await submit("mail.send", ["KEY"])).status, 201);
  assertProblem(
    await submit("sms.send", ["KEY"]),
    "secret_not_allowed",
    /no secret KEY that jobs of type sms\.send may use/,
  );
  assertProblem(await submit("mail.send", ["MISSING"]), "secret_not_allowed");
  const planted = await submit("mail.send", ["planted value"]);
  assertProblem(planted, "invalid_request");
  assert.ok(!JSON.stringify(planted.body).includes("planted"));
  assertProblem(await submit("mail.send", Array.from({ length: 21 }, (_, n) => `S${n}`)), "too_many");
});

Deno.test("a key that is no point of the curve is refused before anything is written", async () => {
  const { tenant, machine, jobId } = await createScene("KEY");
  const publicJwk = { kty: "EC", crv: "P-256", x: "A".repeat(43), y: "A".repeat(43) } as const;
  const proof = await machine.device.secretsProof({ jobId, attempt: 1, publicJwk });
  const answer = await api(machine.enrolled.accessToken)("/secrets/open", {
    json: { jobId, attempt: 1, publicJwk, proof },
  });
  assertProblem(answer, "invalid_request", /publicJwk/);
  assert.deepEqual(await openings(tenant.id), []);
});

Deno.test("the project alone rotates the master key; with nothing to rotate it says so", async () => {
  const answer = await api(project.secretKey)("/secrets/rotate-master-key", { json: {} });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
  const { rotatedCount, leftCount, next } = RotateMasterKeyAnswer.strict().parse(answer.body);
  assert.deepEqual([rotatedCount, leftCount, next], [0, 0, null]);
  assertProblem(await api(null)("/secrets/rotate-master-key", { json: {} }), "unauthenticated");
});
