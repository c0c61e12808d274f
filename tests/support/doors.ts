import assert from "node:assert/strict";
import { RealtimeSocket } from "../../local/testing/realtime-socket.ts";
import { channels } from "../../shared/channels.ts";
import type { HostileToken } from "./hostile-tokens.ts";
import { assertProblem } from "./problem.ts";
import { project } from "./project.ts";
import { api } from "./tenant.ts";

/** Each token is refused by the functions, as a problem document. */
export async function assertShutOutOfFunctions(tokens: readonly HostileToken[]): Promise<void> {
  await each(tokens, async ({ token }) => {
    if (isTooLargeForHeader(token)) {
      return await assertHeaderIsRefused(() => api(token)("/jobs").then(({ status }) => status));
    }
    assertProblem(await api(token)(`/artifacts/${crypto.randomUUID()}`), "unauthenticated");
    // Workers have no business there, genuine or not, which is told without asking.
    const answer = await api(token)("/jobs");
    assertProblem(answer, answer.body.code === "forbidden" ? "forbidden" : "unauthenticated");
  });
}

/** Each token is refused by the Data API, for calls and for rows. */
export async function assertShutOutOfDataApi(tokens: readonly HostileToken[]): Promise<void> {
  await each(tokens, async ({ token }) => {
    const headers = {
      apikey: project.publishableKey,
      authorization: `Bearer ${token}`,
      "content-profile": "muster",
      "accept-profile": "muster",
      "content-type": "application/json",
    };
    const requests: [path: string, init: RequestInit][] = [
      ["rpc/hello", { method: "POST", headers, body: '{"worker": {}}' }],
      ["rpc/tick", { method: "POST", headers, body: "{}" }],
      ["jobs?select=id", { headers }],
    ];
    for (const [path, init] of requests) {
      const send = async () => {
        const response = await fetch(`${project.url}/rest/v1/${path}`, init);
        await response.text();
        return response.status;
      };
      if (isTooLargeForHeader(token)) await assertHeaderIsRefused(send);
      else assert.equal(await send(), 401, path);
    }
  });
}

/** No token joins the channel of the worker, or any other private one. */
export async function assertShutOutOfRealtime(tokens: readonly HostileToken[], workerId: string): Promise<void> {
  const topic = `realtime:${channels.workerTasks(workerId)}`;
  await each(tokens, async ({ token }) => {
    const socket = await RealtimeSocket.open(project.url, project.publishableKey);
    try {
      const joined = socket.request(topic, "phx_join", { config: { private: true }, access_token: token });
      // It answers with an error, or closes the connection.
      const status = await joined.then(({ payload }) => payload.status, () => "closed");
      assert.ok(["error", "closed"].includes(status), `the join was answered ${status}`);
    } finally {
      socket[Symbol.dispose]();
    }
    // The service takes its time to refuse a join.
  }, 32);
}

/** What the platform does for the genuine token: without it, a refusal of the others would show nothing. */
export async function assertLetIn(token: string, workerId: string): Promise<void> {
  assertProblem(await api(token)(`/artifacts/${crypto.randomUUID()}`), "not_found");
  const response = await fetch(`${project.url}/rest/v1/rpc/hello`, {
    method: "POST",
    headers: {
      apikey: project.publishableKey,
      authorization: `Bearer ${token}`,
      "content-profile": "muster",
      "content-type": "application/json",
    },
    body: '{"worker": {}}',
  });
  assert.equal((await response.json()).worker_id, workerId);
  const socket = await RealtimeSocket.open(project.url, project.publishableKey);
  try {
    const topic = `realtime:${channels.workerTasks(workerId)}`;
    const { payload } = await socket.request(topic, "phx_join", { config: { private: true }, access_token: token });
    assert.equal(payload.status, "ok", JSON.stringify(payload));
  } finally {
    socket[Symbol.dispose]();
  }
}

function isTooLargeForHeader(token: string): boolean {
  return token.length > 100_000;
}

/** A gateway refuses such a header before anybody could read it, or closes the connection in the middle of it. */
async function assertHeaderIsRefused(send: () => Promise<number>): Promise<void> {
  const status = await send().catch(() => "closed");
  assert.ok([400, 413, 431, "closed"].includes(status), `status ${status}`);
}

/** Tries all, some at a time, and names every one that fails. */
async function each(
  tokens: readonly HostileToken[],
  act: (token: HostileToken) => Promise<void>,
  atOnce = 4,
): Promise<void> {
  const problems: string[] = [];
  const left = [...tokens];
  const worker = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const { what } = next;
      await act(next).catch((error) => problems.push(`${what}: ${error.message}`));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  assert.deepEqual(problems, []);
}
