import assert from "node:assert/strict";
import { createClient } from "@supabase/supabase-js";
import { RealtimeSocket } from "../../local/testing/realtime-socket.ts";
import { channels } from "../../shared/channels.ts";
import { claimJobs, enrollDevice, workerRpc } from "../support/device.ts";
import { assertProblem } from "../support/problem.ts";
import { project } from "../support/project.ts";
import { api, createApp, createEnrollmentToken } from "../support/tenant.ts";
import { until } from "./world.ts";

Deno.test("tokens carry a worker and an app from enrollment over a pushed job to revocation", async () => {
  const { tenant, api: app } = await createApp("life");
  const { enrollmentToken } = await createEnrollmentToken(tenant.id, { maxUses: 1 });
  const { device, enrolled } = await enrollDevice(enrollmentToken);
  const { workerId } = enrolled;

  // Both listen, each with its own token.
  await using workerEar = await listen(channels.workerTasks(workerId), enrolled.accessToken);
  const { body: client } = await app("/enroll/client-token", { method: "POST" });
  await using appEar = await listen(client.channels.tasks, client.accessToken);
  const rows = await fetch(`${project.url}/rest/v1/jobs?select=id,status`, {
    headers: {
      apikey: project.publishableKey,
      authorization: `Bearer ${client.accessToken}`,
      "accept-profile": "muster",
    },
  });
  assert.deepEqual([rows.status, await rows.json()], [200, []], "an app reads its jobs with its token");

  // A worker that hears is pushed a job.
  const worker = { capabilities: ["compute/basic"], labels: {}, slots: 1, listening: true };
  const { wake_nonce } = await workerRpc(enrolled.accessToken, "hello", { worker });
  await workerEar.heard("wake");
  await workerRpc(enrolled.accessToken, "heartbeat", { running: [], wake_nonce, listening: true });
  const { body: job } = await app("/jobs", { json: { type: "life", notify: true } });
  assert.equal(job.status, "assigned");
  assert.match(JSON.stringify(await workerEar.heard("task.assign")), new RegExp(job.id));

  // The next token serves the open channel and the calls.
  const refreshed = await api(null)("/enroll/refresh", {
    json: { workerId, proof: await device.refreshProof(workerId) },
  });
  assert.equal(refreshed.status, 200, JSON.stringify(refreshed.body));
  const { accessToken } = refreshed.body;
  const [assignment] = await claimJobs((name, args) => workerRpc(accessToken, name, args));
  assert.equal(assignment.job_id, job.id);
  const result = { job_id: job.id, attempt: assignment.attempt, status: "succeeded", result: { done: true } };
  await workerRpc(accessToken, "complete_jobs", { results: [result], want: 0 });
  assert.match(JSON.stringify(await appEar.heard("task.result")), new RegExp(job.id));
  assert.deepEqual((await app(`/jobs/${job.id}`)).body.result, { done: true });

  // Revoked, it is out, with either token.
  const operator = api(project.secretKey, { "x-tenant-id": tenant.id });
  assert.equal((await operator(`/workers/${workerId}/revoke`, { method: "POST" })).status, 200);
  for (const token of [enrolled.accessToken, accessToken]) {
    await assert.rejects(workerRpc(token, "claim_jobs", { want: 1 }), { code: "worker_revoked" });
    using socket = await RealtimeSocket.open(project.url, project.publishableKey);
    const topic = `realtime:${channels.workerTasks(workerId)}`;
    const joined = await socket.request(topic, "phx_join", { config: { private: true }, access_token: token });
    assert.equal(joined.payload.status, "error");
  }
  const proof = await device.refreshProof(workerId);
  assertProblem(await api(null)("/enroll/refresh", { json: { workerId, proof } }), "worker_revoked");
});

/** Joins a private channel with a token, as Supabase's own client does, and keeps what is said there. */
async function listen(
  topic: string,
  token: string,
): Promise<AsyncDisposable & { heard(event: string): Promise<unknown> }> {
  const { realtime } = createClient(project.url, project.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
  });
  await realtime.setAuth(token);
  const messages: { event: string }[] = [];
  const joined = Promise.withResolvers<void>();
  realtime.channel(topic, { config: { private: true } })
    .on("broadcast", { event: "*" }, (message) => void messages.push(message))
    .subscribe((status, error) => {
      if (status === "SUBSCRIBED") joined.resolve();
      else joined.reject(error ?? new Error(status));
    });
  await joined.promise;
  return {
    heard: (event) => until(`${event} is heard`, () => Promise.resolve(messages.find((each) => each.event === event))),
    async [Symbol.asyncDispose]() {
      await realtime.removeAllChannels();
      await realtime.disconnect();
    },
  };
}
