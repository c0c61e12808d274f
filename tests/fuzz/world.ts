import assert from "node:assert/strict";
import { SignJWT } from "jose";
import { createTokenSigner } from "../../shared/auth/access-token.ts";
import { Device, enrollDevice } from "../support/device.ts";
import { addMembers, signUp } from "../support/members.ts";
import { project } from "../support/project.ts";
import { api, createApiKey, createEnrollmentToken, createTenant } from "../support/tenant.ts";
import type { FuzzRequest } from "./request.ts";
import type { Offer } from "./request-arbitrary.ts";

/** In every text that belongs to the other tenant: nothing of it may be answered to us. */
export const markOfOthers = "belongs-to-others";

/** What a run is made against: two tenants with something of everything, and callers of every kind. */
export interface World {
  readonly offer: Offer;
  /** What no answer may hold. */
  readonly secrets: readonly string[];
  /** The callers of whom an answer may tell what is the other tenant's. */
  readonly credentialsOfOthers: ReadonlySet<string>;
  /** Tokens of workers of both tenants, for the Data API. */
  readonly workerTokens: readonly string[];
  /** Puts what only this world knows in the places of ⟦…⟧, and the caller's key into the headers. */
  fill(request: FuzzRequest): Promise<FuzzRequest>;
}

/** Needs the project's secret key, its JWT secret and its database. */
export async function createWorld(): Promise<World> {
  const [ours, others] = [await createTenant("fuzz"), await createTenant(markOfOthers)];
  const [key, keyOfOthers, expired] = await Promise.all([
    createApiKey(ours.id),
    createApiKey(others.id, { executorName: markOfOthers }),
    createApiKey(ours.id, { expiresAt: new Date(Date.now() - 1000).toISOString() }),
  ]);
  const [token, tokenOfOthers] = await Promise.all([
    createEnrollmentToken(ours.id),
    createEnrollmentToken(others.id, { name: markOfOthers }),
  ]);
  const [mine, theirs] = [
    await enrollDevice(token.enrollmentToken, { name: "fuzzed" }),
    await enrollDevice(tokenOfOthers.enrollmentToken, { name: markOfOthers }),
  ];
  // The workers of the Data API are not among the ids: one that is revoked would tell nothing more.
  const [worker, workerOfOthers] = [
    await enrollDevice(token.enrollmentToken, { name: "caller" }),
    await enrollDevice(tokenOfOthers.enrollmentToken, { name: markOfOthers }),
  ];
  const device = await Device.create();
  const [app, other] = [api(key.apiKey), api(keyOfOthers.apiKey)];
  const marked = { type: markOfOthers, payload: { text: markOfOthers }, labels: { mark: markOfOthers } };
  const file = { name: "a.txt", sizeBytes: 5, sha256: "0".repeat(64) };
  const made = async (call: ReturnType<typeof app>): Promise<string> => {
    const { status, body } = await call;
    assert.equal(status, 201, JSON.stringify(body));
    return body.id ?? body.artifact.id;
  };
  const job = await made(app("/jobs", { json: { type: "a", notify: true } }));
  const ended = await made(app("/jobs", { json: { type: "a" } }));
  await app(`/jobs/${ended}/cancel`, { json: {} });

  const names: Record<string, string> = {
    "tenant": ours.id,
    "tenant-of-others": others.id,
    "job": job,
    "job-that-ended": ended,
    "job-of-others": await made(other("/jobs", { json: { ...marked, idempotencyKey: markOfOthers } })),
    "artifact": await made(app("/artifacts", { json: file })),
    "artifact-of-others": await made(other("/artifacts", { json: { ...file, name: markOfOthers } })),
    "worker": mine.enrolled.workerId,
    "worker-of-others": theirs.enrolled.workerId,
    "key-id": key.id,
    "key-id-of-others": keyOfOthers.id,
    "token-id": token.id,
    "token-id-of-others": tokenOfOthers.id,
    "key": key.apiKey,
    "enrollment-token": token.enrollmentToken,
    "x": device.publicJwk.x,
    "y": device.publicJwk.y,
    "": "",
  };

  const [viewer, editor, administrator, outsider] = await Promise.all([signUp(), signUp(), signUp(), signUp()]);
  await addMembers(ours.id, { viewer: viewer.userId, editor: editor.userId, admin: administrator.userId });
  const client = (await app("/enroll/client-token", { method: "POST" })).body.accessToken;
  const foreign = createTokenSigner({ kind: "secret", secret: "another secret of more than thirty-two characters" });
  const bearer = (value: string) => ({ authorization: `Bearer ${value}` });
  const credentials: Record<string, Record<string, string>> = {
    key: bearer(key.apiKey),
    "key in its own header": { "x-api-key": key.apiKey },
    "key of others": bearer(keyOfOthers.apiKey),
    "expired key": bearer(expired.apiKey),
    "unknown key": bearer(`msk_${"A".repeat(43)}`),
    none: {},
    "publishable key": { apikey: project.publishableKey },
    "secret key": { ...bearer(project.secretKey), "x-tenant-id": ours.id },
    "secret key of no tenant": { apikey: project.secretKey },
    viewer: bearer(viewer.token),
    editor: bearer(editor.token),
    admin: bearer(administrator.token),
    outsider: bearer(outsider.token),
    worker: bearer(mine.enrolled.accessToken),
    "worker-of-others": bearer(theirs.enrolled.accessToken),
    client: bearer(client),
    "foreign signature": bearer(
      (await foreign.signWorker({ workerId: names["worker"]!, tenantId: ours.id, fingerprint: "x" })).accessToken,
    ),
    "alg none": bearer(`${base64({ alg: "none" })}.${base64({ role: "service_role", sub: names["worker"] })}.`),
    "huge token": bearer(
      await new SignJWT({ role: "muster_worker", filler: "x".repeat(6_000) }).setProtectedHeader({ alg: "HS256" })
        .sign(new TextEncoder().encode("x".repeat(40))),
    ),
    garbage: bearer("a.b.c"),
  };

  async function valueOf(name: string): Promise<string> {
    if (name === "proof") return await device.enrollProof(token.enrollmentToken);
    if (name === "refresh-proof") return await mine.device.refreshProof(mine.enrolled.workerId);
    return names[name] ?? `⟦${name}⟧`;
  }

  async function filled(text: string): Promise<string> {
    if (!text.includes("⟦")) return text;
    const found = [...new Set([...text.matchAll(/⟦([^⟦⟧]*)⟧/g)].map((match) => match[1]!))];
    let result = text;
    for (const name of found) result = result.replaceAll(`⟦${name}⟧`, await valueOf(name));
    return result;
  }

  return {
    offer: {
      ids: Object.keys(names).filter((name) => /^(tenant|job|artifact|worker|key-id|token-id)/.test(name))
        .map((name) => `⟦${name}⟧`),
      credentials: Object.keys(credentials),
      values: {
        "*.x-tenant-id": "⟦tenant⟧",
        "enrollWorker.token": "⟦enrollment-token⟧",
        "enrollWorker.publicJwk": { kty: "EC", crv: "P-256", x: "⟦x⟧", y: "⟦y⟧" },
        "enrollWorker.proof": "⟦proof⟧",
        "refreshWorker.workerId": "⟦worker⟧",
        "refreshWorker.proof": "⟦refresh-proof⟧",
        // A job that has ended is not waited for, so no request takes a minute.
        "waitForJob.id": "⟦job-that-ended⟧",
        "getError.code": "not_found",
        "submitJobs.inputs": [],
      },
    },
    secrets: [project.secretKey, project.jwtSecret, key.apiKey, keyOfOthers.apiKey, token.enrollmentToken],
    credentialsOfOthers: new Set(["key of others", "worker of others"]),
    workerTokens: [worker.enrolled.accessToken, workerOfOthers.enrolled.accessToken],
    async fill(request) {
      const { body } = request;
      const given = { ...credentials[request.credential], ...request.headers };
      const entries = await Promise.all(Object.entries(given).map(async ([name, text]) => [name, await filled(text)]));
      // Ids in a path are plain ASCII; what is left of ⟦…⟧ there is not.
      const path = encodeRest(await filled(request.path));
      return {
        ...request,
        path,
        headers: Object.fromEntries(entries),
        body: body !== null && "text" in body ? { text: await filled(body.text) } : body,
      };
    },
  };
}

function encodeRest(path: string): string {
  return path.replace(/[^\x21-\x7e]+/g, (rest) => encodeURIComponent(rest));
}

function base64(value: unknown): string {
  return btoa(JSON.stringify(value)).replaceAll("=", "");
}
