import assert from "node:assert/strict";
import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { z } from "zod";
import { channels } from "../../shared/channels.ts";
import { channelMessages } from "../../shared/contracts/channel-messages.ts";
import { addMembers, signUp } from "../support/members.ts";
import { project } from "../support/project.ts";
import { createWorld, until } from "./world.ts";

const schema = JSON.parse(await Deno.readTextFile(new URL("../../docs/messages.schema.json", import.meta.url)));
const { $defs } = schema;

/** What may be broadcast on each kind of channel, by event, and what may be tracked there. */
const kinds = Object.values(channelMessages).map(({ topic }) => {
  const kind = schema["x-channels"].find((channel: { topic: string }) => channel.topic === topic);
  const validator = ($ref: string) => z.fromJSONSchema({ $ref, $defs });
  return {
    topic,
    pattern: new RegExp(`^${topic.replace(/\{\w+\}/g, "[0-9a-f-]{36}")}$`),
    broadcasts: new Map(
      Object.entries<{ $ref: string }>(kind.broadcasts).map(([event, { $ref }]) => [event, validator($ref)]),
    ),
    presence: kind.presence === null ? null : validator(kind.presence.$ref),
  };
});

Deno.test("the table of channels knows every channel by its name", () => {
  const id = crypto.randomUUID();
  for (const [name, make] of Object.entries(channels)) {
    const { topic } = channelMessages[name as keyof typeof channels];
    assert.equal(topic.replace(/\{\w+\}/, id), make(id));
  }
});

Deno.test("every message of a real job's life fits the schema of its channel, and so does every presence", async () => {
  const { app, api, tenantId, startWorker } = await createWorld();
  const member = await signUp();
  await addMembers(tenantId, { viewer: member.userId });
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  const clients: SupabaseClient[] = [];
  try {
    const { body: client } = await api("/enroll/client-token", { method: "POST" });
    const fleet = channels.fleetPresence(tenantId);
    const [listener, watcher] = [clientOf(client.accessToken), clientOf(member.token)];
    clients.push(listener, watcher);
    const heard = await join(listener, client.channels.tasks);
    const watched = await join(watcher, fleet);

    await using _worker = await startWorker();
    const { id: workerId } = await until("the worker listens", async () => {
      const { body } = await api("/workers");
      return body.workers.find(({ listening, deaf }: { listening: boolean; deaf: boolean }) => listening && !deaf);
    });
    const done = await app.submit({ type: "test.talk", payload: { chunks: 3 }, notify: true });
    await app.wait(done.id);
    const refused = await app.submit({ type: "no.such.thing", notify: true });
    await app.wait(refused.id);
    const long = await app.submit({ type: "test.sleep", payload: { seconds: 600 }, notify: true });
    await until("the job runs", async () => (await app.get(long.id)).status === "running");
    await app.cancel(long.id, "Enough");
    await api(`/workers/${workerId}/drain`, { method: "POST" });

    // What the app heard over its websocket, and what a member saw of the worker.
    for (const { id } of [done, refused, long]) {
      const { event, payload } = await until(
        `the end of ${id}`,
        () => Promise.resolve(heard.broadcasts.find(({ payload }) => payload.data.jobId === id)),
      );
      assertFits(client.channels.tasks, event, payload);
    }
    const tracked = await until("the worker shows itself", () => Promise.resolve(watched.presence()[workerId]?.[0]));
    const { presence } = kindOf(fleet);
    assert.ok(presence?.safeParse(tracked).success, JSON.stringify(tracked));
    assert.equal(presence.safeParse({ ...tracked as object, status: "asleep" }).success, false);

    // The one that drains takes nothing more, so another is called.
    await using _claimer = await startWorker({ args: ["--claim"] });
    await until("a worker waits to be called", async () => {
      const { body } = await api("/workers");
      return body.workers.some(({ mode, status }: Record<string, unknown>) => mode === "claim" && status === "online");
    });
    const called = await app.submit({ type: "test.talk", payload: { chunks: 1 } });
    await app.wait(called.id);

    // What was sent in all, to whomever.
    const jobs = [done, refused, long].map(({ id }) => channels.job(id));
    const topics = [channels.workerTasks(workerId), client.channels.tasks, channels.workerWakeup(tenantId), ...jobs];
    const events = kinds.flatMap(({ broadcasts }) => [...broadcasts.keys()]);
    const sent = await until("a message of every event", async () => {
      const rows = await sql`select topic, event, payload from realtime.messages where topic in ${sql(topics)}`;
      return events.every((event) => rows.some((row) => row["event"] === event)) && rows;
    });
    for (const { topic, event, payload } of sent) assertFits(topic, event, payload);
  } finally {
    await sql.end();
    for (const client of clients) {
      await client.removeAllChannels();
      await client.realtime.disconnect();
    }
  }
});

interface Heard {
  /** Payloads of the broadcasts, each with its event. */
  readonly broadcasts: { readonly event: string; readonly payload: { readonly data: { readonly jobId?: string } } }[];
  /** What is tracked now, by key. */
  readonly presence: () => Record<string, unknown[]>;
}

/** Joins a private channel with a token; what comes from then on is in the answer. */
async function join(client: SupabaseClient, topic: string): Promise<Heard> {
  const broadcasts: Heard["broadcasts"] = [];
  await client.realtime.setAuth();
  const channel = client.channel(topic, { config: { private: true } });
  channel.on("broadcast", { event: "*" }, ({ event, payload }) => void broadcasts.push({ event, payload }));
  // Without a listener for it, presence is not asked for.
  channel.on("presence", { event: "sync" }, () => {});
  await new Promise<void>((resolve, reject) => {
    channel.subscribe((status, error) => {
      if (status === "SUBSCRIBED") resolve();
      else if (status !== "CLOSED") reject(error ?? new Error(status));
    });
  });
  return { broadcasts, presence: () => channel.presenceState() };
}

function clientOf(token: string): SupabaseClient {
  return createClient(project.url, project.publishableKey, {
    auth: { persistSession: false, autoRefreshToken: false },
    accessToken: () => Promise.resolve(token),
  });
}

function kindOf(topic: string) {
  const kind = kinds.find(({ pattern }) => pattern.test(topic));
  assert.ok(kind, `no kind of channel has the name ${topic}`);
  return kind;
}

function assertFits(topic: string, event: string, payload: unknown): void {
  const kind = kindOf(topic);
  const validator = kind.broadcasts.get(event);
  assert.ok(validator, `${event} is not among the broadcasts of ${kind.topic}`);
  const result = validator.safeParse(payload);
  assert.ok(result.success, `${event} on ${kind.topic}: ${result.error} ${JSON.stringify(payload)}`);
}
