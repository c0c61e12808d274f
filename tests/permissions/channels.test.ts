import assert from "node:assert/strict";
import { channels as names } from "../../shared/channels.ts";
import { createExecutor, submit } from "../support/actors.ts";
import { TestDatabase } from "../support/database.ts";
import { topicRights } from "../support/topic-rights.ts";
import { createEverybody, createWorld } from "./actors.ts";
import { channels } from "./matrix.ts";

Deno.test("everybody may join every channel that the matrix says, and no other", async (t) => {
  await using db = await TestDatabase.create();
  const [own, other] = [await createWorld(db), await createWorld(db)];
  const { actors } = await createEverybody(db, own, other);
  const sibling = await createExecutor(db, own.tenant, "sibling");
  const [siblingsJob] = await submit(db, sibling, {});
  const topics: Record<string, string[]> = {
    "worker:<own>:tasks": [names.workerTasks(own.busyWorker.id)],
    "worker:<peer>:tasks": [names.workerTasks(own.worker.id)],
    "worker:<other>:tasks": [names.workerTasks(other.worker.id)],
    "worker:<own>:events": [names.workerEvents(own.busyWorker.id), names.workerEvents(own.worker.id)],
    "worker:<other>:events": [names.workerEvents(other.worker.id)],
    "executor:<own>:tasks": [names.executorTasks(own.tenant.executorId)],
    "executor:<sibling>:tasks": [names.executorTasks(sibling.executorId)],
    "executor:<other>:tasks": [names.executorTasks(other.tenant.executorId)],
    "job:<own>": [names.job(own.queued.id), names.job(own.held.job_id)],
    "job:<sibling's>": [names.job(siblingsJob.id)],
    "job:<other>": [names.job(other.queued.id), names.job(crypto.randomUUID())],
    "fleet:<own>:presence": [names.fleetPresence(own.tenant.id)],
    "fleet:<other>:presence": [names.fleetPresence(other.tenant.id)],
    "worker-wakeup:<own>": [names.workerWakeup(own.tenant.id)],
    "worker-wakeup:<other>": [names.workerWakeup(other.tenant.id)],
    "anything else": [`tenant:${own.tenant.id}`, `worker:${own.busyWorker.id}`, `jobs:${own.queued.id}`, "lobby", ""],
  };

  await t.step("the matrix has a row for every kind of channel", () => {
    assert.deepEqual([...channels.rows.keys()].sort(), Object.keys(topics).sort());
    const kinds = Object.values(names).map((name) => name("<id>"));
    const rows = [...channels.rows.keys()].map((row) => row.replace(/<.*>/, "<id>"));
    assert.deepEqual(kinds.filter((kind) => !rows.includes(kind)), []);
  });
  for (const column of channels.columns) {
    await t.step(column, async () => {
      const found: Record<string, string> = {};
      const written: Record<string, string> = {};
      for (const [row, cells] of channels.rows) {
        for (const topic of topics[row] ?? []) {
          const { broadcast, presence } = await topicRights(db, actors[column]!, topic);
          found[`${row} ${topic}`] = [
            broadcast.includes("read") ? "b" : "",
            broadcast.includes("write") ? "B" : "",
            presence.includes("read") ? "p" : "",
            presence.includes("write") ? "P" : "",
          ].join("") || "-";
          written[`${row} ${topic}`] = cells.get(column)!;
        }
      }
      assert.deepEqual(found, written);
    });
  }
});
