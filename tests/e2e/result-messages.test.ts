import assert from "node:assert/strict";
import { createClient, type RealtimeChannel } from "@supabase/supabase-js";
import { Message } from "../../shared/contracts/messages.ts";
import { project } from "../support/project.ts";
import { createWorld, until } from "./world.ts";

Deno.test("an app that asked to be told hears the end of its job, on its own channel and the job's", async () => {
  const { app, api, startWorker } = await createWorld();
  await using _worker = await startWorker();
  const { status, body } = await api("/enroll/client-token", { method: "POST" });
  assert.equal(status, 200, JSON.stringify(body));
  await using listener = new Listener(body.accessToken);
  const heard = await listener.join(body.channels.tasks);

  const quiet = await app.submit({ type: "calc.add", payload: { a: 1, b: 1 } });
  await app.wait(quiet.id);
  const notified = await app.submit({ type: "calc.add", payload: { a: 2, b: 3 }, notify: true });
  const refused = await app.submit({ type: "no.such.thing", notify: true });

  const result = await until("task.result", () => Promise.resolve(heard.find(({ type }) => type === "task.result")));
  assert.equal(result.data["jobId"], notified.id);
  assert.deepEqual(result.data["result"], { sum: 5 });
  const error = await until("task.error", () => Promise.resolve(heard.find(({ type }) => type === "task.error")));
  assert.equal(error.data["jobId"], refused.id);
  assert.equal(heard.some(({ data }) => data["jobId"] === quiet.id), false, "nobody asked to be told of that one");

  const later = await app.submit({
    type: "test.talk",
    payload: { chunks: 3 },
    notify: true,
    runAt: new Date(Date.now() + 1_500).toISOString(),
  });
  const watched = await listener.join(`job:${later.id}`);
  await until("the job's own end", () => Promise.resolve(watched.find(({ type }) => type === "task.result")));
  const told = watched.filter(({ type }) => type === "task.progress");
  assert.ok(told.length > 0, "what the worker reported is heard there, too");
});

Deno.test("a client token opens no channel of another app, worker or fleet", async () => {
  const [own, other] = [await createWorld(), await createWorld()];
  const { body } = await own.api("/enroll/client-token", { method: "POST" });
  const { body: foreign } = await other.api("/enroll/client-token", { method: "POST" });
  await using listener = new Listener(body.accessToken);
  const job = await other.app.submit({ type: "calc.add", payload: { a: 1, b: 1 } });
  for (const topic of [foreign.channels.tasks, `job:${job.id}`, `fleet:${own.tenantId}:presence`]) {
    await assert.rejects(listener.join(topic), /permissions to read/, topic);
  }
});

type Heard = { type: string; data: Record<string, unknown> };

class Listener implements AsyncDisposable {
  readonly #client;

  constructor(accessToken: string) {
    this.#client = createClient(project.url, project.publishableKey, {
      auth: { persistSession: false, autoRefreshToken: false },
      accessToken: () => Promise.resolve(accessToken),
    });
  }

  /** Joins a private channel; what is broadcast there from now on is added to the answer. */
  async join(topic: string): Promise<Heard[]> {
    const heard: Heard[] = [];
    await this.#client.realtime.setAuth();
    const channel: RealtimeChannel = this.#client.channel(topic, { config: { private: true } });
    channel.on("broadcast", { event: "*" }, ({ payload }) => {
      const message = Message.parse(payload);
      heard.push({ type: message.type, data: message.data as Record<string, unknown> });
    });
    await new Promise<void>((resolve, reject) => {
      channel.subscribe((status, error) => {
        if (status === "SUBSCRIBED") resolve();
        else if (status !== "CLOSED") {
          void this.#client.removeChannel(channel);
          reject(error ?? new Error(status));
        }
      });
    });
    return heard;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.removeAllChannels();
    await this.#client.realtime.disconnect();
  }
}
