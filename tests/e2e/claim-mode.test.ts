import assert from "node:assert/strict";
import postgres from "postgres";
import { channels } from "../../shared/channels.ts";
import { Worker } from "../../worker/index.ts";
import { project } from "../support/project.ts";
import { createWorld, until, type World } from "./world.ts";

/** Workers in claim mode within this process, each with websockets of its own; `ran` counts the runs of each job. */
async function startClaimers(world: World, count: number, ran: Map<string, number>, realtime = true) {
  const listening = new Set<number>();
  const workers = await Promise.all(Array.from({ length: count }, async (_, n) => {
    const worker = new Worker({
      url: project.url,
      enrollmentToken: world.token,
      name: `claimer-${n}`,
      capabilities: ["compute/basic"],
      mode: "claim",
      slots: 2,
      realtime,
      log: ({ event }) => event === "realtime.listening" && listening.add(n),
    });
    worker.handle("test.count", ({ id }) => {
      ran.set(id, (ran.get(id) ?? 0) + 1);
      return { by: n };
    });
    await worker.start();
    return worker;
  }));
  if (realtime) await until("all wait to be called", () => Promise.resolve(listening.size === count));
  return { [Symbol.asyncDispose]: async () => void await Promise.all(workers.map((worker) => worker.stop())) };
}

async function submitAll(world: World, count: number): Promise<string[]> {
  const jobs = await world.app.submitMany(
    Array.from({ length: count }, () => ({ type: "test.count", requires: ["compute/basic"] })),
  );
  return jobs.map(({ job }) => job.id);
}

Deno.test("many workers in claim mode share the work when they are called, with few messages and no job lost or doubled", async () => {
  const world = await createWorld();
  const ran = new Map<string, number>();
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    await using _workers = await startClaimers(world, 8, ran);
    const callsUntilNow = async () => {
      const [row] = await sql`
        select count(*)::int as calls, min(event) as event from realtime.messages
        where topic = ${channels.workerWakeup(world.tenantId)}`;
      return row!;
    };
    const [first] = await submitAll(world, 1);
    await until("one takes it", () => Promise.resolve(ran.has(first!)));
    assert.deepEqual({ ...await callsUntilNow() }, { calls: 1, event: "job_enqueued" });

    const ids = await submitAll(world, 200);
    await until("all have ended", async () => {
      const [row] = await sql`
        select count(*)::int as open from muster.jobs where id = any (${ids}) and status <> 'succeeded'`;
      return row!.open === 0;
    });
    assert.deepEqual([...ran.values()].filter((runs) => runs !== 1), []);
    assert.equal(ran.size, 201);
    // A call a second at most: far less than a tenth of a message for each job.
    const { calls } = await callsUntilNow();
    assert.ok(calls <= 20, `${calls} calls for 201 jobs`);
  } finally {
    await sql.end();
  }
});

Deno.test("workers in claim mode to which no message comes through poll, and lose nothing", async () => {
  const world = await createWorld();
  const ran = new Map<string, number>();
  await using _workers = await startClaimers(world, 3, ran, false);
  for (let round = 0; round < 3; round += 1) {
    const ids = await submitAll(world, 7);
    await Promise.all(ids.map(async (id) => {
      assert.equal((await world.app.wait(id, { timeoutSeconds: 60 })).status, "succeeded");
    }));
  }
  assert.equal(ran.size, 21);
  assert.deepEqual([...ran.values()].filter((runs) => runs !== 1), []);
});
