import assert from "node:assert/strict";
import { startLocalStack } from "../../../local/stack.ts";
import { makeSealingKey, unsealSecrets } from "../../../shared/auth/sealed-secrets.ts";
import { createAdminDb } from "../../../shared/db/admin.ts";
import { createClients, createSqlCall } from "../../../shared/db/sql-call.ts";
import { makeDeviceProof } from "../../../shared/auth/device-proof.ts";

/** A stack of the test's own with a tenant, an app's key and a token for machines. */
export async function createScene(log: (line: string) => void) {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-secrets-" });
  // Started by root, Postgres runs as another account, which has to get to its part of the folder.
  if (Deno.build.os !== "windows") await Deno.chmod(dataDir, 0o711);
  const stack = await startLocalStack({
    dataDir,
    ports: { gateway: 0, database: 0 },
    log: (part, line) => log(`[${part}] ${line}`),
  });
  const admin = createAdminDb(createSqlCall(createClients(stack)));
  const tenant = await admin.createTenant("secrets");
  const { apiKey } = await admin.createApiKey({ tenantId: tenant.id, executorName: "app", expiresAt: null });
  const { enrollmentToken } = await admin.createEnrollmentToken({
    tenantId: tenant.id,
    name: "test",
    capabilities: null,
    labels: {},
    maxUses: null,
    expiresAt: null,
    ephemeral: false,
  });
  return {
    ...{ stack, dataDir, tenantId: tenant.id, apiKey, enrollmentToken },
    async [Symbol.asyncDispose]() {
      await stack.stop();
      await Deno.remove(dataDir, { recursive: true });
    },
  };
}

export type Scene = Awaited<ReturnType<typeof createScene>>;

export interface Told {
  readonly status: number;
  readonly text: string;
  // deno-lint-ignore no-explicit-any -- tests look at answers field by field, which is the test
  readonly body: any;
}

/** Asks functions, as the tenant's administrator unless another token is given. */
export type Ask = (path: string, json?: unknown, token?: string) => Promise<Told>;

export function asker(
  { stack, tenantId }: Scene,
  { functionsUrl = `${stack.url}/functions/v1`, onText = () => {} }: {
    readonly functionsUrl?: string;
    readonly onText?: (text: string) => void;
  } = {},
): Ask {
  return async (path, json, token = stack.secretKey) => {
    const response = await fetch(functionsUrl + path, {
      method: json === undefined ? "GET" : "POST",
      headers: { authorization: `Bearer ${token}`, "x-tenant-id": tenantId, "content-type": "application/json" },
      ...(json === undefined ? {} : { body: typeof json === "string" ? json : JSON.stringify(json) }),
    });
    const text = await response.text();
    onText(`${JSON.stringify([...response.headers])}\n${text}`);
    return { status: response.status, text, body: JSON.parse(text) };
  };
}

/** A machine of its own that holds an attempt at a job with these secrets. */
export async function holdJob(scene: Scene, secrets: readonly string[]) {
  const { stack, apiKey, enrollmentToken: token } = scene;
  const ask = asker(scene);
  const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
  const { x = "", y = "" } = await crypto.subtle.exportKey("jwk", pair.publicKey);
  const key = { privateKey: pair.privateKey, publicJwk: { kty: "EC", crv: "P-256", x, y } } as const;
  const capability = `test/${crypto.randomUUID()}`;
  const enrolled = await ask("/enroll", {
    ...{ token, publicJwk: key.publicJwk, capabilities: [capability] },
    proof: await makeDeviceProof(key, { kind: "enroll", token }),
  });
  assert.equal(enrolled.status, 201, enrolled.text);
  const { accessToken } = enrolled.body;
  const rpc = async (name: string, args: unknown) => {
    const response = await fetch(`${stack.url}/rest/v1/rpc/${name}`, {
      method: "POST",
      headers: {
        ...{ apikey: stack.publishableKey, authorization: `Bearer ${accessToken}` },
        ...{ "content-profile": "muster", "content-type": "application/json" },
      },
      body: JSON.stringify(args),
    });
    return await response.json();
  };
  await rpc("hello", { worker: { capabilities: [capability], slots: 1 }, running: [] });
  const submitted = await ask("/jobs", { type: "test.held", secrets, requires: [capability] }, apiKey);
  assert.equal(submitted.status, 201, submitted.text);
  const jobId: string = submitted.body.id;
  for (let held = false; !held;) {
    const { jobs } = await rpc("claim_jobs", { want: 1 });
    held = jobs.length > 0;
  }
  return {
    jobId,
    /** Asks for the secrets by these functions. */
    async open(by: Ask, attempt = 1): Promise<Told & { values?: Readonly<Record<string, string>> }> {
      const sealing = await makeSealingKey();
      const { publicJwk } = sealing;
      const proof = await makeDeviceProof(key, { kind: "secrets", jobId, attempt, publicJwk });
      const answer = await by("/secrets/open", { jobId, attempt, publicJwk, proof }, accessToken);
      if (answer.status !== 200) return answer;
      return { ...answer, values: { ...await unsealSecrets(answer.body.sealed, sealing) } };
    },
  };
}

/** Listens on private channels as the app does, and passes every frame on as it came. */
export async function listen(
  { stack, apiKey }: Scene,
  onFrame: (text: string) => void,
): Promise<AsyncDisposable & { join(topic: string): Promise<void> }> {
  const response = await fetch(`${stack.url}/functions/v1/enroll/client-token`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}` },
  });
  const { accessToken, channels } = await response.json();
  const target = `${stack.url.replace("http", "ws")}/realtime/v1/websocket?vsn=1.0.0&apikey=${stack.publishableKey}`;
  const socket = new WebSocket(target);
  const joined = new Map<string, PromiseWithResolvers<void>>();
  socket.onmessage = ({ data }) => {
    onFrame(String(data));
    const { event, topic, payload } = JSON.parse(String(data));
    if (event !== "phx_reply") return;
    if (payload.status === "ok") joined.get(topic)?.resolve();
    else joined.get(topic)?.reject(new Error(`Cannot join ${topic}: ${JSON.stringify(payload)}`));
  };
  await new Promise((resolve) => socket.onopen = resolve);
  const closed = new Promise((resolve) => socket.onclose = resolve);
  const join = (name: string): Promise<void> => {
    const topic = `realtime:${name}`;
    const waiting = Promise.withResolvers<void>();
    joined.set(topic, waiting);
    const payload = { config: { private: true }, access_token: accessToken };
    socket.send(JSON.stringify({ topic, event: "phx_join", payload, ref: String(joined.size), join_ref: topic }));
    return waiting.promise;
  };
  await join(channels.tasks);
  return {
    join,
    async [Symbol.asyncDispose]() {
      socket.close();
      await closed;
    },
  };
}
