import assert from "node:assert/strict";
import { createInput, createTenant, createWorker, fileOf, refused, submit, succeeded } from "../support/actors.ts";
import { service, TestDatabase } from "../support/database.ts";

Deno.test("get_artifact() shows a worker the inputs of the jobs it holds, for as long as it holds them", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [worker, peer] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  const [input, unused] = [await createInput(db, tenant, "a"), await createInput(db, tenant, "b")];
  await submit(db, tenant, { inputs: [input.id] });
  const get = (who: typeof worker, id: string) => db.call(who.actor, "get_artifact", { caller: null, artifact_id: id });
  await refused(get(worker, input.id), "MU003");
  const [held] = await worker.claim();
  assert.equal((await get(worker, input.id)).path, input.path);
  await refused(get(worker, unused.id), "MU003");
  await refused(get(peer, input.id), "MU003");
  await worker.complete([succeeded(held!)]);
  await refused(get(worker, input.id), "MU003");
});

Deno.test("get_artifact() shows a worker what it wrote in its current attempt, and not what a dead attempt wrote", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  const output = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...fileOf("x"), job_id: job.id, attempt: 1 },
  });
  const get = () => db.call(worker.actor, "get_artifact", { caller: null, artifact_id: output.id });
  assert.equal((await get()).id, output.id);
  await worker.hello({});
  const [again] = await worker.claim();
  assert.equal(again!.attempt, 2);
  await refused(get(), "MU003");
});

Deno.test("get_artifact() says the same of a foreign artifact, an unassigned one and one that is not there (I6)", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const worker = await createWorker(db, tenant);
  const [own, foreign] = [await createInput(db, tenant), await createInput(db, other)];
  const messages = new Set<string>();
  for (const id of [own.id, foreign.id, crypto.randomUUID()]) {
    const error = await refused(db.call(worker.actor, "get_artifact", { caller: null, artifact_id: id }), "MU003");
    messages.add(error.message.replace(id, "…"));
  }
  assert.equal(messages.size, 1);
});

Deno.test("get_artifact() shows an app the artifacts of its tenant, outputs too", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  const output = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...fileOf("x"), job_id: job.id, attempt: 1 },
  });
  const shown = await db.call(service, "get_artifact", { caller: tenant.caller, artifact_id: output.id });
  assert.deepEqual(shown, output);
});
