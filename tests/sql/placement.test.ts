import assert from "node:assert/strict";
import fc from "fast-check";
import { createTenant, createWorker, refused, submit, type TestTenant } from "../support/actors.ts";
import { type Answer, type Args, service, TestDatabase } from "../support/database.ts";

Deno.test("a job may require capabilities that are claimed, granted or measured", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const claimed = await createWorker(db, tenant, { capabilities: ["gpu/a100"] });
  const granted = await createWorker(db, tenant, { capabilities: ["gpu/a100"] });
  const measured = await createWorker(db, tenant, { capabilities: ["gpu/a100"] });
  await db.sql`update muster.worker_devices set allowed_capabilities = '{gpu/a100,other}' where id = ${granted.id}`;
  await granted.hello({ capabilities: ["gpu/a100"], slots: 2 });
  await db.call(service, "set_measured_capabilities", {
    caller: tenant.caller,
    worker_id: measured.id,
    capabilities: ["gpu/a100", "gpu/h100"],
  });
  const served = async (...requires: string[]) => await workersOf(db, tenant, { requires });
  assert.deepEqual(await served("gpu/a100"), sorted(claimed.id, granted.id, measured.id));
  assert.deepEqual(await served("gpu/a100@granted"), sorted(granted.id));
  assert.deepEqual(await served("gpu/a100@measured"), sorted(measured.id));
  assert.deepEqual(await served("gpu/a100@granted", "gpu/a100@measured"), []);
  // Measured, but not claimed: the worker may lack what it takes.
  assert.deepEqual(await served("gpu/h100@measured"), []);
  // Granted, but not claimed.
  assert.deepEqual(await served("other@granted"), []);
  await measured.hello({ capabilities: [] });
  assert.deepEqual(await served("gpu/a100@measured"), []);
  await measured.hello({ capabilities: ["gpu/h100"] });
  assert.deepEqual(await served("gpu/h100@measured"), sorted(measured.id));
});

Deno.test("no worker and no token can claim a capability with a grade, and no job one that there is not", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  for (const name of ["a@granted", "a@measured", "a@claimed", "@granted", "a@"]) {
    await refused(worker.hello({ capabilities: [name] }), "MU004", `a claim of ${name}`);
    const token = { tenant_id: tenant.id, name: "t", token_hash: "0".repeat(64), capabilities: [name] };
    await refused(db.call(service, "create_enrollment_token", token), "MU004", `a grant of ${name}`);
    const measured = { caller: tenant.caller, worker_id: worker.id, capabilities: [name] };
    await refused(db.call(service, "set_measured_capabilities", measured), "MU004", `a measure of ${name}`);
  }
  for (const name of ["a@claimed", "a@", "@granted", "a@granted@measured", "A@granted", `${"a".repeat(101)}@granted`]) {
    await refused(submit(db, tenant, { requires: [name] }), "MU004", `a job that requires ${name}`);
  }
});

Deno.test("a job goes only to workers that have its resources and slots in all", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const small = await createWorker(db, tenant, { slots: 1 });
  const large = await createWorker(db, tenant, { slots: 4 });
  await small.hello({ resources: { gpu: 1 }, slots: 1 });
  await large.hello({ resources: { gpu: 2, ram_gb: 64 }, slots: 4 });
  const served = async (resources: Args) => await workersOf(db, tenant, { resources });
  assert.deepEqual(await served({}), sorted(small.id, large.id));
  assert.deepEqual(await served({ slots: 1 }), sorted(small.id, large.id));
  assert.deepEqual(await served({ gpu: 1 }), sorted(small.id, large.id));
  assert.deepEqual(await served({ gpu: 1.000001 }), sorted(large.id));
  assert.deepEqual(await served({ gpu: 0.5, ram_gb: 64 }), sorted(large.id));
  assert.deepEqual(await served({ ram_gb: 65 }), []);
  assert.deepEqual(await served({ slots: 4 }), sorted(large.id));
  assert.deepEqual(await served({ tpu: 0.1 }), []);
  await small.hello({ resources: { gpu: 1, tpu: 1 }, slots: 1 });
  assert.deepEqual(await served({ tpu: 0.1 }), sorted(small.id));
  await small.hello({ resources: {}, slots: 1 });
  assert.deepEqual(await served({ gpu: 0.5 }), sorted(large.id));
});

Deno.test("resources that make no sense are refused of workers and of jobs", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const bad: unknown[] = [
    ...["x", 1, [], [1], { gpu: 0 }, { gpu: -1 }, { gpu: "1" }, { gpu: null }, { gpu: 1e13 }, { gpu: 0.0000001 }],
    ...[{ gpu: 1.0000001 }, { GPU: 1 }, { "": 1 }, { ["g".repeat(64)]: 1 }, { "a b": 1 }, { gpu: true }],
  ];
  for (const resources of bad) {
    await refused(worker.hello({ resources }), "MU004", `a worker with ${JSON.stringify(resources)}`);
    await refused(submit(db, tenant, { resources }), "MU004", `a job with ${JSON.stringify(resources)}`);
  }
  await refused(worker.hello({ resources: { slots: 1 } }), "MU004", "a worker with slots among its resources");
  for (const slots of [257, 1.5, 0, -1]) {
    await refused(submit(db, tenant, { resources: { slots } }), "MU004", `a job that takes ${slots} slots`);
  }
  const many = (length: number) => Object.fromEntries(Array.from({ length }, (_, n) => [`r${n}`, 1]));
  await refused(worker.hello({ resources: many(21) }), "MU015");
  await refused(submit(db, tenant, { resources: many(21) }), "MU015");
  assert.deepEqual((await worker.hello({ resources: many(20) })).resources, many(20));
});

Deno.test("hello() keeps resources that it is not told anew, and get_worker() shows them", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  await worker.hello({ resources: { gpu: 2, ram_gb: 63.5 } });
  assert.deepEqual((await worker.hello({})).resources, { gpu: 2, ram_gb: 63.5 });
  const shown = await db.call(service, "get_worker", { caller: tenant.caller, worker_id: worker.id });
  assert.deepEqual([shown.resources, shown.held_resources], [{ gpu: 2, ram_gb: 63.5 }, {}]);
});

Deno.test("jobs that ask for the same in other words are of one class", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const where = [
    { label: "a", operator: "in", values: ["x", "y"] },
    { label: "b", operator: ">=", value: 5 },
  ];
  const jobs = [
    { requires: ["p", "q@granted"], where, resources: { gpu: 1, slots: 1 } },
    { requires: ["q@granted", "p", "p"], where: where.toReversed(), resources: { gpu: 1.0 } },
    {
      requires: ["p", "q@granted"],
      where: [{ values: ["y", "x", "y"], operator: "in", label: "a" }, where[1], where[1]],
      resources: { gpu: 1 },
      prefer: [],
    },
  ];
  await submit(db, tenant, ...jobs);
  const [row] = await db.sql`select count(distinct class_id)::integer as classes from muster.jobs`;
  assert.equal(row!.classes, 1);
  const plain = [{}, { where: null, prefer: null, resources: null, requires: null, labels: null }, { resources: {} }];
  await submit(db, tenant, ...plain);
  const [all] = await db.sql`select count(*)::integer as classes from muster.job_classes`;
  assert.equal(all!.classes, 2);
});

Deno.test("how well a worker meets what a class prefers is kept as its worker changes", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, { labels: { site: "lab" } });
  const prefer = [
    { label: "site", operator: "=", value: "lab", weight: 30 },
    { label: "ram", operator: ">=", value: 64, weight: 10 },
  ];
  await submit(db, tenant, { prefer });
  const preference = async () => {
    const [row] = await db.sql`select preference from muster.worker_classes where worker_id = ${worker.id}`;
    return row!.preference;
  };
  assert.equal(await preference(), 0.75);
  await worker.hello({ labels: { site: "lab", ram: "64" } });
  assert.equal(await preference(), 1);
  await worker.hello({ labels: { ram: "128" } });
  assert.equal(await preference(), 0.25);
  await worker.hello({ labels: {} });
  assert.equal(await preference(), 0);
});

const vocabulary = {
  capabilities: ["a", "b", "c"],
  labels: { site: ["lab", "home"], cuda: ["11.8.0", "12.2.0", "12.4.1-rc.1", "none"], ram: ["16", "64", "much"] },
};

const anyCapabilities = fc.subarray(vocabulary.capabilities);
const anyWorker = fc.record({
  capabilities: anyCapabilities,
  allowed: fc.option(anyCapabilities),
  measured: anyCapabilities,
  labels: fc.record(
    Object.fromEntries(Object.entries(vocabulary.labels).map(([name, values]) => [name, fc.constantFrom(...values)])),
    { requiredKeys: [] },
  ),
  slots: fc.integer({ min: 1, max: 3 }),
  resources: fc.record({ gpu: fc.constantFrom(0.5, 1, 2), ram_gb: fc.constantFrom(8, 16.5) }, { requiredKeys: [] }),
});
const common = (arbitrary: fc.Arbitrary<Args>) => ({ arbitrary, weight: 8 });
const anyExpression = fc.oneof(
  common(fc.record({
    label: fc.constantFrom("site", "cuda"),
    operator: fc.constantFrom("=", "!="),
    value: fc.constantFrom("lab", "none"),
  })),
  common(fc.record({
    label: fc.constantFrom("site", "cuda"),
    operator: fc.constantFrom("in", "notIn"),
    values: fc.subarray(["lab", "home", "12.2.0"], { minLength: 1 }),
  })),
  common(fc.record({ label: fc.constantFrom("site", "cuda", "ram"), operator: fc.constantFrom("exists", "absent") })),
  common(fc.record({
    label: fc.constantFrom("ram", "cuda"),
    operator: fc.constantFrom("<", "<=", ">", ">="),
    value: fc.constantFrom(16, 32, 64),
  })),
  common(fc.record({
    label: fc.constant("cuda"),
    operator: fc.constant("semver"),
    value: fc.constantFrom("^12", "<12.4.1", "*"),
  })),
  // Seldom: a tenant has few classes with patterns.
  {
    arbitrary: fc.record({
      label: fc.constantFrom("site", "ram"),
      operator: fc.constant("matches"),
      value: fc.constantFrom("^l", "4$"),
    }),
    weight: 1,
  },
);
const anyJob = fc.record({
  requires: fc.array(
    fc.tuple(fc.constantFrom(...vocabulary.capabilities), fc.constantFrom("", "", "@granted", "@measured")).map((n) =>
      n.join("")
    ),
    { maxLength: 2 },
  ),
  labels: fc.record({ site: fc.constantFrom("lab", "home") }, { requiredKeys: [] }),
  where: fc.array(anyExpression, { maxLength: 2 }),
  prefer: fc.array(fc.tuple(anyExpression, fc.integer({ min: 1, max: 100 })).map(([e, weight]) => ({ ...e, weight })), {
    maxLength: 2,
  }),
  resources: fc.record({ gpu: fc.constantFrom(0.5, 1, 1.5), slots: fc.integer({ min: 1, max: 3 }) }, {
    requiredKeys: [],
  }),
});

Deno.test("a class is matched with just the workers in which failed_predicate() finds nothing, whichever came first", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant);
  const rounds = fc.sample(
    fc.record({ before: anyWorker, after: anyWorker, jobs: fc.array(anyJob, { minLength: 20, maxLength: 20 }) }),
    {
      numRuns: 24,
      seed: 1,
    },
  );
  const met = { fits: 0, fails: new Map<string, number>() };
  for (const { before, after, jobs } of rounds) {
    await become(before);
    await submit(db, tenant, ...jobs);
    await compare();
    await become(after);
    await compare();
  }
  async function become({ allowed, measured, ...rest }: typeof rounds[number]["before"]): Promise<void> {
    await db.sql`
      update muster.worker_devices set allowed_capabilities = ${allowed}, measured_capabilities = ${measured}
      where id = ${worker.id}`;
    await worker.hello(rest);
    // What a token grants changes with an enrollment, which matches anew; hello() only where it says something new.
    await db.sql`select muster_private.match_worker(${worker.id})`;
  }
  async function compare(): Promise<void> {
    const rows = await db.sql`
      select c.id, muster_private.failed_predicate(w, c) as failed, muster_private.fits(w, c) as fits,
        coalesce((
          select sum((p ->> 'weight')::integer) filter (where muster_private.expression_holds(p, w.labels ->> (p ->> 'label')))
            / sum((p ->> 'weight')::real)
          from jsonb_array_elements(c.preferences) p), 0)::real as preference,
        wc.preference as kept, to_jsonb(c) as class
      from muster.worker_devices w cross join muster.job_classes c
      left join muster.worker_classes wc on wc.class_id = c.id and wc.worker_id = w.id
      where w.id = ${worker.id}`;
    for (const { failed, fits, preference, kept, class: asked } of rows) {
      assert.equal(failed === null, kept !== null, `${JSON.stringify(asked)}: ${JSON.stringify(failed)}`);
      assert.equal(fits, failed === null);
      if (failed === null) met.fits += 1;
      else met.fails.set(failed.predicate, (met.fails.get(failed.predicate) ?? 0) + 1);
      if (kept !== null) assert.equal(kept, preference);
    }
  }
  assert.ok(met.fits > 500, `${met.fits} fit`);
  assert.deepEqual([...met.fails.keys()].sort(), ["capability", "expression", "label", "resource"]);
});

Deno.test("failed_predicate() says what was wanted and what there is", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const worker = await createWorker(db, tenant, {
    capabilities: ["gpu"],
    labels: { site: "lab", cuda: "11.8.0" },
    slots: 2,
  });
  await worker.hello({ resources: { ram_gb: 16 } });
  const why = async (job: Args) => {
    const [{ id }] = await submit(db, tenant, job);
    const [row] = await db.sql`
      select muster_private.failed_predicate(w, c) as failed from muster.worker_devices w, muster.job_classes c
      where w.id = ${worker.id} and c.id = (select class_id from muster.jobs where id = ${id})`;
    return row!.failed;
  };
  assert.equal(await why({ requires: ["gpu"], labels: { site: "lab" } }), null);
  assert.deepEqual(await why({ requires: ["gpu", "tpu"] }), {
    predicate: "capability",
    name: "tpu",
    wanted: "tpu",
    has: null,
  });
  assert.deepEqual(await why({ requires: ["gpu@measured"] }), {
    ...{ predicate: "capability", name: "gpu", wanted: "gpu@measured", has: "gpu@claimed" },
  });
  assert.deepEqual(await why({ labels: { site: "home" } }), {
    predicate: "label",
    name: "site",
    wanted: "home",
    has: "lab",
  });
  assert.deepEqual(await why({ where: [{ label: "cuda", operator: "semver", value: "^12" }] }), {
    ...{ predicate: "expression", name: "cuda", wanted: "cuda semver ^12", has: "11.8.0" },
  });
  assert.deepEqual(await why({ where: [{ label: "zone", operator: "in", values: ["b", "a"] }] }), {
    ...{ predicate: "expression", name: "zone", wanted: "zone in (a, b)", has: null },
  });
  assert.deepEqual(await why({ resources: { ram_gb: 24.5 } }), {
    predicate: "resource",
    name: "ram_gb",
    wanted: 24.5,
    has: 16,
  });
  assert.deepEqual(await why({ resources: { slots: 3 } }), { predicate: "resource", name: "slots", wanted: 3, has: 2 });
  await db.call(service, "revoke_worker", { caller: { kind: "service", tenant_id: tenant.id }, worker_id: worker.id });
  assert.equal((await why({})).predicate, "status");
});

/** Which workers serve the class of a job like this. */
async function workersOf(db: TestDatabase, tenant: TestTenant, job: Args): Promise<string[]> {
  const [{ id }]: Answer[] = await submit(db, tenant, job);
  const rows = await db.sql`
    select w.worker_id from muster.worker_classes w join muster.jobs j using (class_id) where j.id = ${id}`;
  return sorted(...rows.map((row) => row.worker_id));
}

function sorted(...ids: string[]): string[] {
  return ids.sort();
}
