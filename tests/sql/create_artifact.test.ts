import assert from "node:assert/strict";
import { createTenant, createWorker, eachRefused, fileOf, refused, submit, succeeded } from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("create_artifact() announces an app's input under a path of its tenant", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const artifact = await db.call(service, "create_artifact", {
    caller: tenant.caller,
    artifact: fileOf("hello", "in.txt"),
  });
  assert.equal(artifact.path, `${tenant.id}/inputs/${artifact.id}/in.txt`);
  const { status, job_id, attempt, worker_id, name, size_bytes, content_type, finished_at } = artifact;
  assert.deepEqual({ status, job_id, attempt, worker_id, name, size_bytes, content_type, finished_at }, {
    status: "pending",
    job_id: null,
    attempt: null,
    worker_id: null,
    name: "in.txt",
    size_bytes: 5,
    content_type: "text/plain",
    finished_at: null,
  });
  assert.ok(!("executor_id" in artifact));
});

Deno.test("create_artifact() announces a worker's output under its job and attempt", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  const artifact = await db.call(worker.actor, "create_artifact", {
    caller: null,
    artifact: { ...fileOf("x", "report.json"), job_id: job.id, attempt: 1 },
  });
  assert.equal(artifact.path, `${tenant.id}/jobs/${job.id}/1/${artifact.id}/report.json`);
  assert.deepEqual([artifact.job_id, artifact.attempt, artifact.worker_id], [job.id, 1, worker.id]);
});

Deno.test("create_artifact() refuses a worker that does not hold the attempt with stale_attempt (I2)", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  const [worker, peer, outsider] = [
    await createWorker(db, tenant),
    await createWorker(db, tenant),
    await createWorker(db, other),
  ];
  const [job] = await submit(db, tenant, {});
  const [held] = await worker.claim();
  const [foreign] = await submit(db, other, {});
  const create = (who: typeof worker, attempt: Args) =>
    db.call(who.actor, "create_artifact", { caller: null, artifact: { ...fileOf("x"), ...attempt } });
  for (const who of [peer, outsider]) await refused(create(who, { job_id: job.id, attempt: 1 }), "MU006");
  await refused(create(worker, { job_id: job.id, attempt: 2 }), "MU006");
  await refused(create(worker, { job_id: job.id, attempt: 0 }), "MU006");
  await refused(create(worker, { job_id: foreign.id, attempt: 0 }), "MU006");
  await refused(create(worker, { job_id: crypto.randomUUID(), attempt: 1 }), "MU006");
  await refused(create(worker, {}), "MU006");
  await worker.complete([succeeded(held!)]);
  await refused(create(worker, { job_id: job.id, attempt: 1 }), "MU006");
});

Deno.test("create_artifact() refuses a worker that leaves the fencing token out", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const [job] = await submit(db, tenant, {});
  await worker.claim();
  for (const attempt of [undefined, null]) {
    const artifact = { ...fileOf("x"), job_id: job.id, attempt };
    await assert.rejects(db.call(worker.actor, "create_artifact", { caller: null, artifact }), { code: /^MU00[46]$/ });
  }
});

Deno.test("create_artifact() refuses an app that wants to write a job's output", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const [job] = await submit(db, tenant, {});
  const artifact = { ...fileOf("x"), job_id: job.id, attempt: 1 };
  await refused(db.call(service, "create_artifact", { caller: tenant.caller, artifact }), "MU002");
});

Deno.test("create_artifact() makes a path that stays within its folder, whatever the name", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const names = [
    "../../etc/passwd",
    "..",
    ".",
    "/",
    "a/b\\c",
    "ä ö?#%2e%2e",
    "\n",
    "%00",
    "x".repeat(255),
    "日本.txt",
    "-",
    "a..b",
  ];
  const paths = new Set<string>();
  for (const name of [...names, ...names]) {
    const artifact = await db.call(service, "create_artifact", { caller: tenant.caller, artifact: fileOf("x", name) });
    const prefix = `${tenant.id}/inputs/${artifact.id}/`;
    assert.ok(artifact.path.startsWith(prefix), artifact.path);
    assert.match(artifact.path.slice(prefix.length), /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}$/, name);
    assert.equal(artifact.name, name);
    paths.add(artifact.path);
  }
  assert.equal(paths.size, 2 * names.length);
});

Deno.test("create_artifact() refuses misuse", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const good = fileOf("x");
  const bad: Record<string, unknown> = {
    "null": null,
    "a string": "x",
    "an array": [good],
    "no name": { ...good, name: undefined },
    "an empty name": { ...good, name: "" },
    "a name of 256 characters": { ...good, name: "x".repeat(256) },
    "a name with NUL": { ...good, name: "\u0000" },
    "no size": { ...good, size_bytes: undefined },
    "a negative size": { ...good, size_bytes: -1 },
    "half a byte": { ...good, size_bytes: 0.5 },
    "a size in words": { ...good, size_bytes: "ten" },
    "a size over 50 MiB": { ...good, size_bytes: 52_428_801 },
    "a size over all bounds": { ...good, size_bytes: 1e300 },
    "no sha256": { ...good, sha256: undefined },
    "a short sha256": { ...good, sha256: "abc" },
    "a sha256 in capitals": { ...good, sha256: "A".repeat(64) },
    "a content type of a kilobyte": { ...good, content_type: "x".repeat(1024) },
    "a content type with a line end": { ...good, content_type: "text/plain\r\nx: y" },
  };
  await eachRefused(bad, (artifact) => db.call(service, "create_artifact", { caller: tenant.caller, artifact }));
  const [row] = await db.sql`select count(*)::integer as count from muster.artifacts`;
  assert.equal(row!.count, 0);
  const largest = { ...good, size_bytes: 52_428_800 };
  assert.equal(
    (await db.call(service, "create_artifact", { caller: tenant.caller, artifact: largest })).size_bytes,
    52_428_800,
  );
  assert.equal(
    (await db.call(service, "create_artifact", { caller: tenant.caller, artifact: { ...good, size_bytes: 0 } }))
      .size_bytes,
    0,
  );
});
