import assert from "node:assert/strict";
import { type LocalStack, startLocalStack } from "../../local/stack.ts";
import { until } from "../../local/testing/wait.ts";
import { createAdminDb } from "../../shared/db/admin.ts";
import { createClients, createSqlCall } from "../../shared/db/sql-call.ts";
import { MusterClient, Worker } from "../../worker/index.ts";

/** What the real Realtime does badly, a worker survives: it falls back to polling, loses nothing, and listens again. */
Deno.test("a worker outlives what Realtime does badly", async (t) => {
  await using stack = await startLocalStack({ ephemeral: true, log: () => {} });
  const { apiKey, tenantId, token } = await createTenant(stack);
  const app = new MusterClient({ url: stack.url, apiKey });
  const events: string[] = [];
  const runs = new Map<string, number>();
  await using worker = new Worker({
    url: stack.url,
    enrollmentToken: token,
    slots: 4,
    log: ({ event }) => events.push(event),
  });
  worker.handle("count", ({ id }) => {
    runs.set(id, (runs.get(id) ?? 0) + 1);
    return { run: runs.get(id) };
  });
  await worker.start();
  const listened = () => events.filter((event) => event === "realtime.listening").length;
  await until("it listens", () => listened() === 1);

  /** Each job ends well, and its handler ran once. */
  async function runJobs(count: number): Promise<void> {
    const jobs = await Promise.all(Array.from({ length: count }, () => app.submit({ type: "count" })));
    for (const { id } of jobs) {
      const { status } = await app.wait(id, { timeoutSeconds: 60 });
      assert.deepEqual([status, runs.get(id)], ["succeeded", 1]);
    }
  }

  await t.step("messages doubled, late and out of order make no job run twice", async () => {
    await stack.realtime.setFaults({ duplicateChance: 1, reorderChance: 0.5, delayMs: 20, seed: 1 });
    await runJobs(30);
    await stack.realtime.setFaults({ duplicateChance: 0, reorderChance: 0, delayMs: 0 });
    assert.equal(listened(), 1);
  });

  await t.step("a channel that is shut down for its rate is joined again, and jobs go on meanwhile", async () => {
    await stack.realtime.setFaults({ rateExceeded: true });
    await runJobs(5);
    await stack.realtime.setFaults({ rateExceeded: false });
    await until("it listens again", () => listened() === 2);
  });

  await t.step("with today's partition missing nothing is sent, and jobs run all the same", async () => {
    await stack.realtime.setFaults({ missingPartition: true });
    await runJobs(5);
    await stack.realtime.setFaults({ missingPartition: false });
    await runJobs(5);
  });

  await t.step("a deaf worker polls, and listens again when it is heard", async () => {
    // A new subscription on which no wake arrives: joined, and silent.
    await stack.realtime.setFaults({ dropChance: 1 });
    await stack.realtime.setEnabled(false);
    await stack.realtime.setEnabled(true);
    await until("it knows that it hears nothing", () => events.includes("realtime.silent"));
    const before = listened();
    await runJobs(5);
    assert.equal(listened(), before);
    await stack.realtime.setFaults({ dropChance: 0 });
    await until("it listens again", () => listened() === before + 1);
    await runJobs(5);
  });

  await t.step("nothing that was sent while it was away is delivered later, and no job waits for that", async () => {
    await stack.realtime.setEnabled(false);
    await runJobs(5);
    const before = listened();
    await stack.realtime.setEnabled(true);
    await until("it listens again", () => listened() === before + 1);
    await runJobs(5);
  });

  await t.step("a worker whose permissions are frozen gets no job after its revocation", async () => {
    await stack.realtime.setFaults({ frozenPermissions: true });
    const rejected = assert.rejects(worker.closed, { code: "worker_revoked" });
    const answer = await fetch(`${stack.url}/functions/v1/workers/${worker.id}/revoke`, {
      method: "POST",
      headers: { authorization: `Bearer ${stack.secretKey}`, "x-tenant-id": tenantId },
    });
    assert.equal(answer.status, 200, await answer.text());
    const job = await app.submit({ type: "count" });
    await rejected;
    assert.equal((await app.get(job.id)).status, "queued");
    assert.equal(runs.get(job.id), undefined);
  });
});

async function createTenant(stack: LocalStack): Promise<{ apiKey: string; tenantId: string; token: string }> {
  const admin = createAdminDb(createSqlCall(createClients(stack)));
  const { id: tenantId } = await admin.createTenant("switches");
  const { apiKey } = await admin.createApiKey({ tenantId, executorName: "app", expiresAt: null });
  const token = await admin.createEnrollmentToken({
    ...{ tenantId, name: "test", capabilities: null, labels: {}, maxUses: null, expiresAt: null, ephemeral: false },
  });
  return { apiKey, tenantId, token: token.enrollmentToken };
}
