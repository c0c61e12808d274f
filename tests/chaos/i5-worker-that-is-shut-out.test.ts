import assert from "node:assert/strict";
import { createTenant, createWorker, submit } from "../support/actors.ts";
import { Connections, startStep, type Step } from "../support/connections.ts";
import { service, TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";

const calls: Record<string, Record<string, unknown>> = {
  hello: { worker: { capabilities: ["compute/basic"], listening: true }, running: [] },
  heartbeat: { running: [], want: 1 },
  claim_jobs: { want: 1 },
  complete_jobs: { results: [], want: 1 },
  goodbye: { reason: "it stops" },
};

for (const [name, args] of Object.entries(calls)) {
  Deno.test(`${name}() that waited for a revocation leaves the worker revoked and gets nothing`, async () => {
    await using db = await TestDatabase.create();
    await using connections = new Connections(db, 3);
    const tenant = await createTenant(db);
    const worker = await createWorker(db, tenant);
    await submit(db, tenant, {});

    const operator = await connections.transaction();
    const caller = { kind: "service", tenant_id: tenant.id };
    await operator.call(service, "revoke_worker", { caller, worker_id: worker.id });
    const step: Step = (tx) => tx.call(worker.actor, name, args);
    const late = await startStep(db, connections, step);
    assert.equal(late.isDone(), false, "it waits for the revocation");
    await operator.commit();

    const [outcome] = await Promise.allSettled([late.committed]);
    const [row] = await db.sql`select status from muster.worker_devices where id = ${worker.id}`;
    assert.equal(row!.status, "revoked");
    assert.equal(outcome.status === "rejected" && outcome.reason.code, "MU014");
    await assert.rejects(worker.claim(), { code: "MU014" });
    await assert.rejects(worker.hello(), { code: "MU014" });
    const [job] = await db.sql`select status, worker_id from muster.jobs`;
    assert.deepEqual([job!.status, job!.worker_id], ["queued", null]);
    assert.deepEqual(await violations(db.sql), []);
  });
}
