import assert from "node:assert/strict";
import { SignJWT } from "jose";
import { createTokenSigner } from "../../shared/auth/access-token.ts";
import { claimJobs, Device, enrollDevice, type EnrolledDevice } from "../support/device.ts";
import { addMembers, signUp } from "../support/members.ts";
import { project } from "../support/project.ts";
import { api, createApiKey, createEnrollmentToken, createTenant } from "../support/tenant.ts";
import { setSecret } from "../support/secrets.ts";
import { createSecretHolder } from "./secret-holder.ts";
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
  // Whose limits are fuzzed may soon do nothing any more.
  const limited = await createTenant("limited");
  for (const { id } of [ours, others]) await raiseLimits(id);
  const plant = () => `planted-${crypto.randomUUID()}`;
  const [secret, secretOfOthers, heldSecret] = [plant(), plant(), plant()];
  await setSecret(ours.id, { name: "FUZZED", value: secret });
  await setSecret(ours.id, { name: "DELETED", value: secret });
  await setSecret(others.id, { name: "OF_OTHERS", value: secretOfOthers, allowedTypes: [markOfOthers] });
  const holder = await createSecretHolder(heldSecret);
  // Keys and tokens that the run is made with are not among the ids: revoked ones would tell nothing more.
  const [key, spareKey, keyOfOthers, expired] = await Promise.all([
    createApiKey(ours.id, { scopes: ["read", "submit", "operate", "publish"] }),
    createApiKey(ours.id, { executorName: "spare" }),
    createApiKey(others.id, { executorName: markOfOthers }),
    createApiKey(ours.id, { expiresAt: new Date(Date.now() - 1000).toISOString() }),
  ]);
  const [token, spareToken, tokenOfOthers] = await Promise.all([
    createEnrollmentToken(ours.id),
    createEnrollmentToken(ours.id),
    createEnrollmentToken(others.id, { name: markOfOthers }),
  ]);
  const [mine, theirs] = [
    await enrollDevice(token.enrollmentToken, { name: "fuzzed" }),
    await enrollDevice(tokenOfOthers.enrollmentToken, { name: markOfOthers }),
  ];
  // Nor are the workers that refresh their token and call the Data API.
  const machine = await enrollDevice(token.enrollmentToken, { name: "machine" });
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
  // While nothing else is queued.
  const letters = [await failJob(app, worker), await failJob(app, worker)];
  const letterOfOthers = await failJob(other, workerOfOthers, marked);
  const schedule = { name: "fuzzed", cron: "0 0 1 1 *", job: { type: "a" } };
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
    "schedule": await made(app("/schedules", { json: schedule })),
    "schedule-of-others": await made(other("/schedules", { json: { ...schedule, name: markOfOthers, job: marked } })),
    "letter": letters[0]!,
    "letter-to-dismiss": letters[1]!,
    "letter-of-others": letterOfOthers,
    "worker": mine.enrolled.workerId,
    "worker-of-others": theirs.enrolled.workerId,
    "key-id": spareKey.id,
    "key-id-of-others": keyOfOthers.id,
    "token-id": spareToken.id,
    "token-id-of-others": tokenOfOthers.id,
    "key": key.apiKey,
    "machine": machine.enrolled.workerId,
    "enrollment-token": token.enrollmentToken,
    "x": device.publicJwk.x,
    "y": device.publicJwk.y,
    "": "",
  };

  const [viewer, editor, publisher, administrator, outsider, member, memberOfOthers] = await Promise.all(
    Array.from({ length: 7 }, signUp),
  ) as [User, User, User, User, User, User, User];
  await addMembers(ours.id, {
    viewer: viewer.userId,
    editor: editor.userId,
    publisher: publisher.userId,
    admin: administrator.userId,
  });
  await addMembers(others.id, { admin: memberOfOthers.userId });
  Object.assign(names, { "member": member.userId, "member-of-others": memberOfOthers.userId });
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
    "secret key": { ...bearer(project.secretKey), "x-tenant-id": "⟦tenant⟧" },
    "secret key of no tenant": { apikey: project.secretKey },
    viewer: bearer(viewer.token),
    editor: bearer(editor.token),
    publisher: bearer(publisher.token),
    admin: bearer(administrator.token),
    outsider: bearer(outsider.token),
    worker: bearer(machine.enrolled.accessToken),
    holder: bearer(holder.accessToken),
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

  /** Names that stand for something else in each request. */
  function namesOf({ operationId }: FuzzRequest): (name: string) => Promise<string> {
    const own = operationId === "setLimits"
      ? { ...names, "tenant": limited.id, "tenant-of-others": limited.id }
      : names;
    const held = once(holder.hold);
    // What is deleted by one request is no schedule to the next.
    const spareSchedule = once(() => made(app("/schedules", { json: { ...schedule, name: crypto.randomUUID() } })));
    // A machine whose key was changed cannot change it again as it was.
    const rotation = once(async () => {
      const { device, enrolled } = await enrollDevice(token.enrollmentToken, { name: "rotated" });
      return await device.rotateRequest(enrolled.workerId, await Device.create());
    });
    const makers: Record<string, () => Promise<string>> = {
      "new-schedule": spareSchedule,
      "proof": () => device.enrollProof(token.enrollmentToken),
      // Of an app of its own: an app has a number of keys.
      "new-key-id": async () => (await createApiKey(ours.id, { executorName: crypto.randomUUID() })).id,
      "refresh-proof": () => machine.device.refreshProof(machine.enrolled.workerId),
      "held-job": async () => (await held()).jobId,
      "held-x": async () => (await held()).publicJwk.x,
      "held-y": async () => (await held()).publicJwk.y,
      "held-proof": async () => (await held()).proof,
      "rotated": async () => (await rotation()).workerId,
      "next-x": async () => (await rotation()).publicJwk.x,
      "next-y": async () => (await rotation()).publicJwk.y,
      "old-proof": async () => (await rotation()).proof,
      "new-proof": async () => (await rotation()).newProof,
    };
    return async (name) => {
      const make = Object.hasOwn(makers, name) ? makers[name] : undefined;
      return make === undefined ? (Object.hasOwn(own, name) ? own[name]! : `⟦${name}⟧`) : await make();
    };
  }

  async function filled(text: string, valueOf: (name: string) => Promise<string>): Promise<string> {
    if (!text.includes("⟦")) return text;
    const found = [...new Set([...text.matchAll(/⟦([^⟦⟧]*)⟧/g)].map((match) => match[1]!))];
    let result = text;
    for (const name of found) result = result.replaceAll(`⟦${name}⟧`, await valueOf(name));
    return result;
  }

  return {
    offer: {
      ids: Object.keys(names).filter((name) =>
        /^(tenant|job|artifact|worker|schedule|letter|key-id|token-id|member)/.test(name)
      )
        .map((name) => `⟦${name}⟧`),
      credentials: Object.keys(credentials),
      callers: callersOf,
      bodies: {
        createTenant: [{ adminEmail: undefined }, { adminUserId: undefined, adminEmail: "nobody@example.com" }],
        addMember: [
          { userId: "⟦member⟧", email: undefined },
          { userId: undefined, email: "nobody@example.com" },
        ],
        ...Object.fromEntries(
          Object.entries({ replayDeadLetters: "⟦letter⟧", dismissDeadLetters: "⟦letter-to-dismiss⟧" }).map((
            [name, id],
          ) => [
            name,
            [
              ...[id, "⟦job⟧", "⟦letter-of-others⟧"].map((id) => ({ ids: [id], filter: undefined, cursor: undefined })),
              { ids: undefined, filter: {}, cursor: undefined },
            ],
          ]),
        ),
        ...Object.fromEntries(["createSchedule", "changeSchedule"].map((name) => [name, [
          { startsAt: undefined, endsAt: undefined, catchUp: "last" },
          { startsAt: "2099-01-01T00:00:00Z", endsAt: "2100-01-01T00:00:00Z", overlap: "allow", catchUp: "all" },
        ]])),
      },
      values: {
        "*.x-tenant-id": "⟦tenant⟧",
        "enrollWorker.token": "⟦enrollment-token⟧",
        "enrollWorker.publicJwk": { kty: "EC", crv: "P-256", x: "⟦x⟧", y: "⟦y⟧" },
        "enrollWorker.proof": "⟦proof⟧",
        "refreshWorker.workerId": "⟦machine⟧",
        "refreshWorker.proof": "⟦refresh-proof⟧",
        // A job that has ended is not waited for, so no request takes a minute.
        "waitForJob.id": "⟦job-that-ended⟧",
        "getError.code": "not_found",
        "submitJobs.inputs": [],
        "rotateWorkerKey.workerId": "⟦rotated⟧",
        "rotateWorkerKey.publicJwk": { kty: "EC", crv: "P-256", x: "⟦next-x⟧", y: "⟦next-y⟧" },
        "rotateWorkerKey.proof": "⟦old-proof⟧",
        "rotateWorkerKey.newProof": "⟦new-proof⟧",
        "openSecrets.jobId": "⟦held-job⟧",
        "openSecrets.attempt": 1,
        "openSecrets.publicJwk": { kty: "EC", crv: "P-256", x: "⟦held-x⟧", y: "⟦held-y⟧" },
        "openSecrets.proof": "⟦held-proof⟧",
        "setSecret.name": "FUZZED",
        "deleteSecret.name": ["DELETED", "OF_OTHERS"],
        "changeMemberRole.userId": ["⟦member⟧", "⟦member-of-others⟧"],
        "removeMember.userId": ["⟦member⟧", "⟦member-of-others⟧"],
        "revokeApiKey.id": ["⟦key-id⟧", "⟦key-id-of-others⟧"],
        "rotateApiKey.id": ["⟦new-key-id⟧", "⟦key-id⟧", "⟦key-id-of-others⟧"],
        ...Object.fromEntries(
          ["getSchedule", "changeSchedule", "pauseSchedule", "resumeSchedule", "runSchedule"].map((name) => [
            `${name}.id`,
            ["⟦schedule⟧", "⟦schedule-of-others⟧"],
          ]),
        ),
        "deleteSchedule.id": ["⟦new-schedule⟧", "⟦schedule-of-others⟧"],
        "revokeEnrollmentToken.id": ["⟦token-id⟧", "⟦token-id-of-others⟧"],
        "createApiKey.expiresAt": "2099-01-01T00:00:00.000Z",
        "createEnrollmentToken.expiresAt": "2099-01-01T00:00:00.000Z",
        "createEnrollmentToken.cidrs": ["10.0.0.0/8", "2001:db8::/32"],
      },
    },
    secrets: [
      ...[project.secretKey, project.jwtSecret, secret, secretOfOthers, heldSecret],
      ...[key, spareKey, keyOfOthers].map(({ apiKey }) => apiKey),
      ...[token, spareToken, tokenOfOthers].map(({ enrollmentToken }) => enrollmentToken),
    ],
    // The secret key is let in everywhere.
    credentialsOfOthers: new Set(["key of others", "worker-of-others", "secret key", "secret key of no tenant"]),
    workerTokens: [worker.enrolled.accessToken, workerOfOthers.enrolled.accessToken],
    async fill(request) {
      const { body } = request;
      const valueOf = namesOf(request);
      const given = { ...credentials[request.credential], ...request.headers };
      const entries = await Promise.all(
        Object.entries(given).map(async ([name, text]) => [name, await filled(text, valueOf)]),
      );
      // Ids in a path are plain ASCII; what is left of ⟦…⟧ there is not.
      const path = encodeRest(await filled(request.path, valueOf));
      return {
        ...request,
        path,
        headers: Object.fromEntries(entries),
        body: body !== null && "text" in body ? { text: await filled(body.text, valueOf) } : body,
      };
    },
  };
}

type User = Awaited<ReturnType<typeof signUp>>;

/** Who may use the operations that an API key may not. */
const callersOf: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    ["createTenant", "setLimits", "setAuditRetention"].map((name) => [name, "secret key"]),
  ),
  rotateMasterKey: "secret key of no tenant",
  openSecrets: "holder",
  ...Object.fromEntries(
    [
      ...["addMember", "changeMemberRole", "removeMember", "createApiKey", "revokeApiKey", "rotateApiKey"],
      ...["listSecrets", "setSecret", "deleteSecret", "listAudit", "verifyAudit", "revokeWorker"],
    ].map((name) => [name, "admin"]),
  ),
};

/** A job that has failed for good, and so has a dead letter; its worker is gone again. */
async function failJob(app: ReturnType<typeof api>, { rpc }: EnrolledDevice, more: object = {}): Promise<string> {
  const { status, body } = await app("/jobs", { json: { type: "a", ...more, maxAttempts: 1 } });
  assert.equal(status, 201, JSON.stringify(body));
  // Of the labels that the job asks for, if it does.
  const worker = { capabilities: ["compute/basic"], labels: body.labels, slots: 1, listening: false };
  await rpc("hello", { worker, running: [] });
  const [job] = await claimJobs(rpc);
  assert.equal(job?.job_id, body.id);
  const error = { code: "on_purpose", message: "Fails on purpose" };
  await rpc("complete_jobs", {
    results: [{ job_id: job.job_id, attempt: job.attempt, status: "failed", error }],
    want: 0,
  });
  await rpc("goodbye");
  return body.id;
}

/** A run asks more often than the usual limits let anybody. */
async function raiseLimits(tenantId: string): Promise<void> {
  const rate = 100_000;
  const answer = await api(project.secretKey, { "x-tenant-id": tenantId })("/tenants/limits", {
    json: {
      ...{ apiKeyRate: rate, apiKeyBurst: rate, memberRate: rate, memberBurst: rate, workerRate: rate },
      ...{ workerBurst: rate, enrollmentTokenRate: rate, enrollmentTokenBurst: rate, jobClasses: 1_000_000 },
    },
  });
  assert.equal(answer.status, 200, JSON.stringify(answer.body));
}

function once<Value>(make: () => Promise<Value>): () => Promise<Value> {
  let made: Promise<Value> | undefined;
  return () => made ??= make();
}

function encodeRest(path: string): string {
  return path.replace(/[^\x21-\x7e]+/g, (rest) => encodeURIComponent(rest));
}

function base64(value: unknown): string {
  return btoa(JSON.stringify(value)).replaceAll("=", "");
}
