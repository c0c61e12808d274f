import assert from "node:assert/strict";
import { createTenant, createWorker, fileOf, refused, submit, succeeded, type TestTenant } from "../support/actors.ts";
import { Connections, overlap, type Step } from "../support/connections.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

Deno.test("finish_artifact() makes an artifact ready when its bytes are the ones declared, and may be repeated", async () => {
  await using db = await TestDatabase.create();
  const artifact = await create(db, await createTenant(db));
  const ready = await finish(db, artifact);
  assert.deepEqual([ready.status, ready.finished_at], ["ready", "2026-01-01T00:00:00.000000Z"]);
  await db.advance(1);
  assert.deepEqual(await finish(db, artifact), ready);
});

Deno.test("finish_artifact() refuses other bytes with artifact_mismatch and leaves the artifact pending", async () => {
  await using db = await TestDatabase.create();
  const artifact = await create(db, await createTenant(db));
  await refused(finish(db, artifact, { size_bytes: artifact.size_bytes + 1 }), "MU016");
  await refused(finish(db, artifact, { sha256: "0".repeat(64) }), "MU016");
  await refused(finish(db, artifact, { sha256: "" }), "MU016");
  assert.equal(await statusOf(db, artifact), "pending");
});

Deno.test("finish_artifact() takes no measurement for a wrong one", async () => {
  await using db = await TestDatabase.create();
  const artifact = await create(db, await createTenant(db));
  for (const missing of [{ size_bytes: null }, { sha256: null }, { size_bytes: null, sha256: null }]) {
    await assert.rejects(finish(db, artifact, missing), { code: /^MU0(04|16)$/ });
  }
  assert.equal(await statusOf(db, artifact), "pending");
});

Deno.test("finish_artifact() refuses an artifact that was rejected", async () => {
  await using db = await TestDatabase.create();
  const artifact = await create(db, await createTenant(db));
  await db.call(service, "reject_artifact", { artifact_id: artifact.id, reason: "x" });
  await refused(finish(db, artifact), "MU008");
});

Deno.test("finish_artifact() refuses an output whose attempt is over (I2)", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const output = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...fileOf("x"), job_id: job.id, attempt: 1 },
  });
  await worker.complete([succeeded(held!)]);
  await refused(finish(db, output), "MU006");
  assert.equal(await statusOf(db, output), "pending");
});

Deno.test("finish_artifact() says not_found for what is not there", async () => {
  await using db = await TestDatabase.create();
  for (const id of [crypto.randomUUID(), null]) await refused(finish(db, { id, ...fileOf("x") }), "MU003");
});

Deno.test("finish_artifact() and reject_artifact() at once: the first has its way, and the other is told", async () => {
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, 2);
  const tenant = await createTenant(db);
  for (const first of ["ready", "rejected"]) {
    const artifact = await create(db, tenant);
    const { id: artifact_id, size_bytes, sha256 } = artifact;
    const finishing: Step = (tx) => tx.call(service, "finish_artifact", { artifact_id, size_bytes, sha256 });
    const rejecting: Step = (tx) => tx.call(service, "reject_artifact", { artifact_id, reason: "x" });
    if (first === "ready") {
      const [, rejected] = await overlap(db, connections, finishing, rejecting);
      assert.equal(rejected, null);
    } else {
      await refused(overlap(db, connections, rejecting, finishing), "MU008");
    }
    assert.equal(await statusOf(db, artifact), first);
  }
});

function create(db: TestDatabase, tenant: TestTenant): Promise<Answer> {
  return db.call(service, "create_artifact", { caller: tenant.caller, artifact: fileOf("hello") });
}

function finish(db: TestDatabase, artifact: Answer, measured: Record<string, unknown> = {}): Promise<Answer> {
  const { id, size_bytes, sha256 } = artifact;
  return db.call(service, "finish_artifact", { artifact_id: id, size_bytes, sha256, ...measured });
}

async function statusOf(db: TestDatabase, { id }: Answer): Promise<string> {
  const [row] = await db.sql`select status from muster.artifacts where id = ${id}`;
  return row!.status;
}
