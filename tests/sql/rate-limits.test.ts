import assert from "node:assert/strict";
import fc from "fast-check";
import {
  createMember,
  createTenant,
  createUser,
  createWorker,
  getJob,
  refused,
  submit,
  tick,
} from "../support/actors.ts";
import { type Answer, service, TestDatabase } from "../support/database.ts";

const rate = 20;
const burst = 40;
const shards = 8;

/** What happens to a bucket: time goes by, a request comes and ends at once, or stays open, or the oldest open one ends. */
type Step = { kind: "wait"; milliseconds: number } | { kind: "request" } | { kind: "open" } | {
  kind: "end";
  commits: boolean;
};

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant("wait" as const), milliseconds: fc.integer({ min: 1, max: 3000 }) }),
  },
  { weight: 6, arbitrary: fc.constant({ kind: "request" as const }) },
  { weight: 2, arbitrary: fc.constant({ kind: "open" as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("end" as const), commits: fc.boolean() }) },
);

Deno.test("a bucket never grants more than its rate and burst allow, whatever requests overlap or fail", async () => {
  await using db = await TestDatabase.create();
  const connections = await Promise.all(Array.from({ length: 3 }, () => db.sql.reserve()));
  for (const connection of connections) await connection`set lock_timeout = '50ms'`;
  let bucket = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(step, fc.integer({ min: 1, max: 12 })), { minLength: 1, maxLength: 20 }),
      async (steps) => {
        bucket++;
        // Grants that were not taken back, as instants; those of open requests count, as they may yet be committed.
        const grants: { at: number; taken: boolean }[] = [];
        const open: { connection: typeof connections[number]; grant: typeof grants[number] | null }[] = [];
        const free = [...connections];
        let now = 0;
        const take = async (connection: typeof connections[number]) => {
          // What is left may be in the hands of a request that this test keeps open: then it is waited for, in vain.
          const [row] = await connection`select muster_private.take(${`p${bucket}`}, ${rate}, ${burst}) as wait`
            .catch((error) => {
              if (error.code === "55P03") return [{ wait: 1 }];
              throw error;
            });
          if (row!.wait > 0) return null;
          const grant = { at: now, taken: true };
          grants.push(grant);
          return grant;
        };
        const end = async (commits: boolean) => {
          const oldest = open.shift();
          if (oldest === undefined) return;
          await oldest.connection.unsafe(commits ? "commit" : "rollback");
          if (!commits && oldest.grant !== null) oldest.grant.taken = false;
          free.push(oldest.connection);
        };
        for (const [{ kind, ...rest }, times] of steps) {
          for (let n = 0; n < times; n++) {
            if (kind === "wait") {
              const milliseconds = (rest as { milliseconds: number }).milliseconds;
              await db.advance(milliseconds / 1000);
              now += milliseconds / 1000;
              break;
            }
            if (kind === "end" || free.length === 0) {
              await end(kind === "end" ? (rest as { commits: boolean }).commits : true);
              continue;
            }
            const connection = free.pop()!;
            if (kind === "request") {
              await take(connection);
              free.unshift(connection);
            } else {
              await connection`begin`;
              open.push({ connection, grant: await take(connection) });
            }
          }
        }
        while (open.length > 0) await end(true);
        const granted = grants.filter(({ taken }) => taken);
        for (const [index, { at: from }] of granted.entries()) {
          for (const [later, { at: to }] of granted.entries()) {
            if (later < index) continue;
            const allowed = burst + rate * (to - from);
            assert.ok(later - index + 1 <= allowed + 1e-6, `${later - index + 1} granted in ${to - from} s`);
          }
        }
      },
    ),
    { numRuns: 12 },
  );
  for (const connection of connections) {
    await connection`reset lock_timeout`;
    connection.release();
  }
});

Deno.test("a bucket gives a caller that was calm its whole burst, and one below its rate is never refused", async () => {
  await using db = await TestDatabase.create();
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 60 }), async (rate, eighths) => {
      const burst = eighths * shards;
      const bucket = `calm-${crypto.randomUUID()}`;
      const take = async (): Promise<number> => {
        const [row] = await db.sql`select muster_private.take(${bucket}, ${rate}, ${burst}) as wait`;
        return row!.wait;
      };
      for (let n = 0; n < burst; n++) assert.equal(await take(), 0, `request ${n + 1} of a burst of ${burst}`);
      const wait = await take();
      assert.ok(wait > 0 && wait <= shards / rate + 1e-6, `told to wait ${wait} s`);
      await db.advance(wait + 1e-5);
      assert.equal(await take(), 0, "after the wait it was told");
      // From an empty bucket, too: a little slower than the rate, for as long as you like.
      for (let n = 0; n < 3 * shards; n++) {
        await db.advance(1.02 / rate);
        await take();
      }
      for (let n = 0; n < 3 * shards; n++) {
        await db.advance(1.02 / rate);
        assert.equal(await take(), 0, "below the rate");
      }
    }),
    { numRuns: 4 },
  );
});

Deno.test("requests of one caller that overlap do not wait for each other, up to as many as there are shards", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  // So that the class of these jobs is known.
  await submit(db, tenant, {});
  await using first = await db.transaction();
  await using second = await db.transaction();
  await first.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test" }] });
  await second.call(service, "submit_jobs", { caller: tenant.caller, jobs: [{ type: "test" }] });
  await submit(db, tenant, {});
  await second.commit();
  await first.commit();
});

Deno.test("a request that finds every shard in hand waits for one and is served, not refused", async () => {
  await using db = await TestDatabase.create();
  const bucket = "busy";
  const lock = (sql: typeof db.sql) =>
    sql`select pg_advisory_xact_lock(hashtext(${`muster.rate:${bucket}`}), n) from generate_series(0, ${shards - 1}) n`;
  const held = await db.sql.reserve();
  await held`begin`;
  await lock(held as unknown as typeof db.sql);
  const asker = await db.sql.reserve();
  const [{ pid }] = await asker`select pg_backend_pid() as pid` as unknown as [{ pid: number }];
  const asked = asker`select muster_private.take(${bucket}, ${rate}, ${burst}) as wait`.then(([row]) => row!.wait);
  await db.untilBlocked(pid);
  await held`commit`;
  assert.equal(await asked, 0);
  held.release();
  asker.release();
});

Deno.test("an API key over its rate is refused with rate_limited and told how long to wait; others do not notice", async () => {
  await using db = await TestDatabase.create();
  const [tenant, other] = [await createTenant(db), await createTenant(db)];
  await db.sql`insert into muster.tenant_limits (tenant_id, api_key_rate, api_key_burst) values (${tenant.id}, 1, 4)`;
  const [job] = await submit(db, tenant, {});
  const [foreign] = await submit(db, other, {});
  for (let n = 0; n < 3; n++) await getJob(db, tenant, job.id);
  const error = await refused(getJob(db, tenant, job.id), "MU018");
  assert.deepEqual(JSON.parse(error.detail), { retry_after_seconds: 1 });
  await getJob(db, other, foreign.id);
  await db.advance(1);
  await getJob(db, tenant, job.id);
  await refused(getJob(db, tenant, job.id), "MU018");
});

Deno.test("a member is counted by tenant, the secret key not at all, and a repeated look of one request once", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.sql`insert into muster.tenant_limits (tenant_id, member_rate, member_burst, api_key_rate, api_key_burst)
    values (${tenant.id}, 1, 2, 1, 1)`;
  const { caller } = await createMember(db, tenant, "viewer");
  const list = (by: Answer) => db.call(service, "list_jobs", { caller: by });
  await list(caller);
  await list(caller);
  await refused(list(caller), "MU018");
  for (let n = 0; n < 5; n++) await list({ kind: "service", tenant_id: tenant.id });
  await list(tenant.caller);
  for (let n = 0; n < 5; n++) await list({ ...tenant.caller, is_repeat: true });
  await refused(list(tenant.caller), "MU018");
});

Deno.test("a worker that hammers is refused on every call, and its neighbour is served", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.sql`insert into muster.tenant_limits (tenant_id, worker_rate, worker_burst) values (${tenant.id}, 2, 10)`;
  const [hostile, honest] = [await createWorker(db, tenant), await createWorker(db, tenant)];
  const calls = [
    () => hostile.claim(),
    () => hostile.heartbeat(),
    () => db.call(hostile.actor, "report_events", { events: [] }),
    () => hostile.complete([]),
    () => hostile.hello(),
    () => db.call(hostile.actor, "goodbye"),
  ];
  const flood = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => calls[n % 2]!()));
  // Ten at most, less the hello with which it was made; calls that meet each other may be refused a little sooner.
  const served = flood.filter(({ status }) => status === "fulfilled").length;
  assert.ok(served > 4 && served <= 9, `${served} calls were served`);
  await Promise.allSettled(Array.from({ length: 10 }, () => hostile.claim()));
  for (const call of calls) await refused(call(), "MU018");
  const [job] = await submit(db, tenant, { requires: ["compute/basic"] });
  const [claimed] = await honest.claim();
  assert.equal(claimed?.job_id, job.id);
  await db.advance(1);
  await hostile.heartbeat();
});

Deno.test("what is refused is counted by a call of its own: against a good key, or else against the address", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.sql`insert into muster.tenant_limits (tenant_id, api_key_rate, api_key_burst) values (${tenant.id}, 1, 2)`;
  const charge = (caller: Answer, address: string | null) => db.call(service, "charge_refusal", { caller, address });
  await charge(tenant.caller, "192.0.2.1");
  await charge(tenant.caller, "192.0.2.1");
  await refused(charge(tenant.caller, "192.0.2.1"), "MU018");
  await refused(getJob(db, tenant, crypto.randomUUID()), "MU018");

  const unknown = { kind: "api_key", hash: "0".repeat(64) };
  const drain = async (address: string) => {
    await db.sql`select muster.charge_address(${address}, 'refused') from generate_series(1, 1000)`;
    await refused(charge(unknown, address), "MU018");
  };
  await drain("192.0.2.1");
  await charge(unknown, "192.0.2.2");
  // One network of version 6 is one client.
  await drain("2001:db8::1");
  await refused(charge(unknown, "2001:db8::ffff"), "MU018");
  await charge(unknown, "2001:db8:0:1::1");
  await charge(unknown, "not an address");
  await charge(unknown, null);
  await charge(null, null);
});

Deno.test("a request that fails gives back what it took", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.sql`insert into muster.tenant_limits (tenant_id, api_key_rate, api_key_burst) values (${tenant.id}, 1, 1)`;
  for (let n = 0; n < 3; n++) await refused(getJob(db, tenant, crypto.randomUUID()), "MU003");
  await submit(db, tenant, {});
  await refused(submit(db, tenant, {}), "MU018");
});

Deno.test("buckets that are full again are forgotten, others and those in hand are not", async () => {
  await using db = await TestDatabase.create();
  const take = (bucket: string) => db.sql`select muster_private.take(${bucket}, 1, 1)`;
  const forget = async () => {
    const [row] = await db.sql`select muster_private.forget_full_buckets(muster_private.now()) as count`;
    return row!.count;
  };
  await take("old");
  await take("held");
  await db.advance(3700, { asOutage: true });
  await take("new");
  const holder = await db.sql.reserve();
  await holder`begin`;
  await holder`select pg_advisory_xact_lock(hashtext('muster.rate:held'), 0)`;
  assert.equal(await forget(), 1);
  await holder`commit`;
  holder.release();
  assert.equal(await forget(), 1);
  const rows = await db.sql`select bucket from muster_private.rate_buckets`;
  assert.deepEqual(rows.map((row) => row.bucket), ["new"]);
});

Deno.test("full buckets are forgotten a thousand at a time, by one tick after the other until none is left", async () => {
  await using db = await TestDatabase.create();
  await db.sql`
    insert into muster_private.rate_buckets (bucket, shard, tokens, filled_at)
    select 'enroll:' || n, 0, 1, muster_private.now() - interval '2 hours' from generate_series(1, 1500) n`;
  const left = async () => (await db.sql`select from muster_private.rate_buckets`).length;
  await tick(db);
  assert.equal(await left(), 500);
  await tick(db);
  assert.equal(await left(), 0);
});

Deno.test("a transaction that takes a second time waits for nobody: two of a caller cannot wait for each other", async () => {
  await using db = await TestDatabase.create();
  const [first, second] = [await db.sql.reserve(), await db.sql.reserve()];
  // Two shards of 4 each, of which both see the other's as full.
  const take = async (connection: typeof first, cost: number) => {
    const [row] = await connection`select muster_private.take('twice', 0.001, 8, ${cost}) as wait`;
    return row!.wait;
  };
  for (const connection of [first, second]) {
    await connection`begin`;
    await connection`set local lock_timeout = '30s'`;
    assert.equal(await take(connection, 2), 0);
  }
  assert.ok(await take(first, 3) > 0);
  assert.ok(await take(second, 3) > 0);
  for (const connection of [first, second]) {
    await connection`commit`;
    connection.release();
  }
});

Deno.test("a request of an API key locks no row while it waits for others of the same key", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  await db.sql`insert into muster.tenant_limits (tenant_id, api_key_rate, api_key_burst) values (${tenant.id}, 1, 3)`;
  const [key] = await db.sql`select id from muster.api_keys`;
  const holder = await db.sql.reserve();
  await holder`begin`;
  await holder`select pg_advisory_xact_lock(hashtext('muster.rate:api_key:' || ${key!.id}), 0)`;
  await using waiting = await db.transaction();
  const listed = waiting.call(service, "list_jobs", { caller: tenant.caller });
  await db.untilBlocked(waiting.pid);
  await db.sql`select from muster.api_keys where id = ${key!.id} for update nowait`;
  await holder`commit`;
  holder.release();
  assert.deepEqual((await listed).jobs, []);
  await waiting.commit();
});

Deno.test("a change of members counts as one request", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const { caller } = await createMember(db, tenant, "admin");
  const user_id = await createUser(db);
  await db.sql`insert into muster.tenant_limits (tenant_id, member_rate, member_burst) values (${tenant.id}, 1, 1)`;
  await db.call(service, "add_member", { caller, role: "viewer", user_id });
  await refused(db.call(service, "list_members", { caller }), "MU018");
});
