import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHmac, createPublicKey } from "node:crypto";
import postgres from "postgres";
import { RealtimeSocket } from "../../local/testing/realtime-socket.ts";
import { channels } from "../../shared/channels.ts";
import { deviceFingerprint } from "../../shared/auth/device-proof.ts";
import type { PublicJwk } from "../../shared/contracts/enroll.ts";
import { claimJobs, Device, enrollDevice, workerRpc } from "../support/device.ts";
import { encode } from "../support/hostile-tokens.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { api, createApp, createEnrollmentToken, createTenant } from "../support/tenant.ts";

const open = api(null);

/** A key that signs whatever it is given, as an attacker's does. */
class Forger {
  private constructor(readonly publicJwk: PublicJwk, readonly privateKey: CryptoKey) {}

  static async create(): Promise<Forger> {
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
    const { x, y } = await crypto.subtle.exportKey("jwk", pair.publicKey);
    return new Forger({ kty: "EC", crv: "P-256", x: x!, y: y! }, pair.privateKey);
  }

  /** `header` and `claims` are JSON text, taken as they are. */
  async sign(header: string, claims: string): Promise<string> {
    const input = `${Buffer.from(header).toString("base64url")}.${Buffer.from(claims).toString("base64url")}`;
    const signature = await crypto.subtle.sign(
      { name: "ECDSA", hash: "SHA-256" },
      this.privateKey,
      Buffer.from(input),
    );
    return `${input}.${Buffer.from(signature).toString("base64url")}`;
  }
}

Deno.test("no forged or malformed proof renews the token of a worker", async () => {
  let fetched = 0;
  await using listener = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    fetched += 1;
    return new Response("{}");
  });
  const url = `http://127.0.0.1:${listener.addr.port}`;
  const { device, enrolled: { workerId } } = await enrollDevice((await newToken()).token);
  const forger = await Forger.create();
  const victim = device.publicJwk;
  const claims = () => ({
    aud: "muster:refresh",
    sub: workerId,
    jti: crypto.randomUUID(),
    iat: Math.floor(Date.now() / 1000),
  });
  const header = (more: Record<string, unknown> = {}) => ({
    typ: "muster-proof+jwt",
    alg: "ES256",
    jwk: victim,
    ...more,
  });
  const sign = (more: Record<string, unknown> = {}, changed: Record<string, unknown> = {}) =>
    forger.sign(JSON.stringify(header(more)), JSON.stringify({ ...claims(), ...changed }));
  const genuine = await device.refreshProof(workerId);
  const [genuineHeader, , signature] = genuine.split(".");
  const pem = createPublicKey({ key: victim as never, format: "jwk" }).export({ type: "spki", format: "pem" });
  const hmac = (key: string | Uint8Array, alg: string) => {
    const input = `${encode(header({ alg }))}.${encode(claims())}`;
    return `${input}.${createHmac("sha256", key).update(input).digest("base64url")}`;
  };
  const unsigned = (alg: unknown) => `${encode(header({ alg }))}.${encode(claims())}.`;
  const duplicate = JSON.stringify(claims()).replace("{", `{"sub":"${workerId}",`).replace(
    /}$/,
    `,"sub":"${crypto.randomUUID()}"}`,
  );
  const proofs: Record<string, string> = {
    "the worker's public key, signed by another": await sign(),
    "another key in the header": await sign({ jwk: forger.publicJwk }),
    "another key by its URL": await sign({ jku: url, x5u: url }),
    "no key but a kid": await sign({ jwk: undefined, kid: await deviceFingerprint(victim) }),
    "a key that is null": await sign({ jwk: null }),
    "a key that is a text": await sign({ jwk: "key" }),
    "a symmetric key": await sign({ jwk: { kty: "oct", k: "AAAA" } }),
    "a key of another curve": await sign({ jwk: { kty: "EC", crv: "P-384", x: "AAAA", y: "AAAA" } }),
    "a key that is no point of the curve": await sign({ jwk: { ...victim, y: victim.x } }),
    "alg none": unsigned("none"),
    "alg None": unsigned("None"),
    "alg nOnE": unsigned("nOnE"),
    "an alg that is no text": unsigned(["ES256"]),
    "HS256 with the public key's PEM": hmac(pem as string, "HS256"),
    "HS256 with the public key's JWK": hmac(JSON.stringify(victim), "HS256"),
    "HS256 with its x": hmac(Buffer.from(victim.x, "base64url"), "HS256"),
    "an HMAC that says ES256": hmac(pem as string, "ES256"),
    "a signature of zeros": `${encode(header())}.${encode(claims())}.${Buffer.alloc(64).toString("base64url")}`,
    "no signature": `${encode(header())}.${encode(claims())}.`,
    "a genuine signature over other claims": `${genuineHeader}.${encode(claims())}.${signature}`,
    "another type": await device.enrollProof("mse_x"),
    "an access token's type": await sign({ typ: "JWT", jwk: forger.publicJwk }),
    "a critical extension that is unknown": await sign({ jwk: forger.publicJwk, crit: ["exp2"], exp2: 1 }),
    "a payload that is not encoded": await sign({ jwk: forger.publicJwk, crit: ["b64"], b64: false }),
    "five parts, as of an encrypted token": "e30.e30.e30.e30.e30",
    "claims nested deep": await forger.sign(
      JSON.stringify(header({ jwk: forger.publicJwk })),
      `{"a":${"[".repeat(1_000)}${"]".repeat(1_000)}}`,
    ),
    "a header nested deep": await forger.sign(`{"jwk":${"[".repeat(1_000)}${"]".repeat(1_000)}}`, "{}"),
    "claims that are a list": await forger.sign(JSON.stringify(header({ jwk: forger.publicJwk })), "[]"),
    "claims that are null": await forger.sign(JSON.stringify(header({ jwk: forger.publicJwk })), "null"),
    "a claim twice": await forger.sign(JSON.stringify(header({ jwk: forger.publicJwk })), duplicate),
    "an id that is no UUID": await sign({ jwk: forger.publicJwk }, { jti: "1; drop table muster.jobs" }),
    "a time that is a text": await sign({ jwk: forger.publicJwk }, { iat: "now" }),
    "a time beyond all numbers": await forger.sign(
      JSON.stringify(header({ jwk: forger.publicJwk })),
      JSON.stringify(claims()).replace(/"iat":\d+/, '"iat":1e999'),
    ),
    "a list of audiences": await sign({ jwk: forger.publicJwk }, { aud: ["muster:refresh"] }),
  };
  for (const [what, proof] of Object.entries(proofs)) {
    const answer = await open("/enroll/refresh", { json: { workerId, proof } });
    assert.equal(answer.body?.code, "proof_invalid", `${what}: ${JSON.stringify(answer.body)}`);
    assertProblem(answer, "proof_invalid");
  }
  for (const proof of ["A".repeat(4_097), "A".repeat(900_000), "", 1, null, ["a"]]) {
    assertProblem(await open("/enroll/refresh", { json: { workerId, proof } }), "invalid_request", /proof/);
  }
  const huge = await open("/enroll/refresh", {
    raw: `{"workerId": "${workerId}", "proof": "${"A".repeat(5_000_000)}"}`,
  });
  assertProblem(huge, "payload_too_large");
  assert.equal(fetched, 0, "a URL that a proof named was fetched");
  assert.equal((await open("/enroll/refresh", { json: { workerId, proof: genuine } })).status, 200);
});

Deno.test("a stolen enrollment token is of no use once it is used up, revoked, expired, or elsewhere", async () => {
  const tries: Record<string, Parameters<typeof newToken>[0]> = {
    enrollment_token_spent: { maxUses: 1 },
    enrollment_token_expired: { expiresAt: new Date(Date.now() - 1000).toISOString() },
    address_not_allowed: { cidrs: ["192.0.2.0/24"] },
    enrollment_token_invalid: {},
  };
  for (const [code, options] of Object.entries(tries)) {
    const { token, id } = await newToken(options);
    if (code === "enrollment_token_spent") await enrollDevice(token);
    if (code === "enrollment_token_invalid") await revoke(id);
    const answer = await open("/enroll", { json: await (await Device.create()).enrollRequest(token) });
    assertProblem(answer, code as "enrollment_token_spent");
  }
});

Deno.test("who knows all of an identity but its private key gets no token", async () => {
  const { token } = await newToken();
  const { device, enrolled } = await enrollDevice(token);
  const { workerId } = enrolled;
  const thief = await Device.create();
  assertProblem(
    await open("/enroll/refresh", { json: { workerId, proof: await thief.refreshProof(workerId) } }),
    "proof_invalid",
  );
  // With an enrollment token as well it cannot become that worker: the key it names must sign.
  const asVictim = { ...await thief.enrollRequest(token), publicJwk: device.publicJwk };
  assertProblem(await open("/enroll", { json: asVictim }), "proof_invalid");
  assertProblem(await open("/enroll/rotate", { json: await thief.rotateRequest(workerId, thief) }), "proof_invalid");
});

Deno.test("a worker's token is worth nothing in another tenant", async () => {
  const { api: app, tenant } = await createApp("victim");
  const victim = await enrollDevice((await createEnrollmentToken(tenant.id)).enrollmentToken);
  await victim.rpc("hello", { worker: {} });
  const { body: job } = await app("/jobs", { json: { type: "a" } });
  const [held] = await claimJobs(victim.rpc);
  const { body: { artifact } } = await app("/artifacts", {
    json: { name: "a", sizeBytes: 1, sha256: "0".repeat(64), contentType: "text/plain" },
  });
  const { enrolled: stranger } = await enrollDevice((await newToken()).token);
  const { accessToken } = stranger;
  await workerRpc(accessToken, "hello", { worker: {} });
  const attempt = { job_id: job.id, attempt: held.attempt };
  const done = await workerRpc(accessToken, "complete_jobs", {
    results: [{ ...attempt, status: "succeeded", result: {} }],
    want: 1,
  });
  assert.deepEqual([done.outcomes[0].outcome, done.jobs], ["stale", []]);
  assert.equal((await workerRpc(accessToken, "heartbeat", { running: [attempt] })).jobs.length, 0);
  assertProblem(await api(accessToken)(`/artifacts/${artifact.id}`), "not_found");
  const topics = [
    channels.workerTasks(victim.enrolled.workerId),
    channels.fleetPresence(tenant.id),
    channels.workerWakeup(tenant.id),
    channels.job(job.id),
  ];
  await Promise.all(topics.map(async (topic) => {
    using socket = await RealtimeSocket.open(project.url, project.publishableKey);
    const request = { config: { private: true }, access_token: accessToken };
    assert.equal((await socket.request(`realtime:${topic}`, "phx_join", request)).payload.status, "error", topic);
  }));
  // Its own worker may be lost by now, as nothing beats for it.
  const { body: kept } = await app(`/jobs/${job.id}`);
  assert.deepEqual([kept.result, kept.error, ["running", "queued"].includes(kept.status)], [null, null, true]);
});

async function newToken(
  options: Parameters<typeof createEnrollmentToken>[1] = {},
): Promise<{ token: string; id: string }> {
  const { enrollmentToken: token, id } = await createEnrollmentToken((await createTenant("proofs")).id, options);
  return { token, id };
}

async function revoke(tokenId: string): Promise<void> {
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    await sql`update muster.enrollment_tokens set revoked_at = now() where id = ${tokenId}`;
  } finally {
    await sql.end();
  }
}
