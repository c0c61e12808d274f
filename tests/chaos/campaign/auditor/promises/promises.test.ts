import assert from "node:assert/strict";
import type { SubmitJob } from "../../../../../shared/contracts/jobs.ts";
import type { Evidence, JobRow } from "../evidence.ts";
import type { Violation } from "../violation.ts";
import type { Commit } from "../wal.ts";
import { checkArrivals } from "./check-arrivals.ts";
import { checkKeys } from "./check-keys.ts";
import { checkOrder } from "./check-order.ts";
import { checkPlacement } from "./check-placement.ts";
import { checkRetries } from "./check-retries.ts";

/** One change of a job, or of another watched table, in a commit of its own: at which second, and what. */
type Change = [number, Record<string, string | null>] | [number, Record<string, string | null>, string];

interface Told {
  readonly jobs: Record<string, { asked?: Partial<SubmitJob>; row?: Partial<JobRow>; after?: string[] }>;
  readonly changes?: Change[];
  readonly more?: Partial<Evidence>;
}

const beganMs = Date.UTC(2026, 0, 1);
const at = (second: number) => new Date(beganMs + second * 1000).toISOString().replace("T", " ").replace("Z", "+00");

function evidence({ jobs, changes = [], more = {} }: Told): Evidence {
  const names = Object.keys(jobs);
  const rows: JobRow[] = names.map((id) => ({
    ...{ id, tenant_id: "t", status: "succeeded", worker_id: null, attempts: 1, result: null, idempotency_key: id },
    ...{ type: "work", parent_id: null, retry_of: null, error: null, message: null, created_ms: beganMs },
    ...jobs[id]!.row,
  }));
  const app = { app: "app", tenant: "red" };
  return {
    roster: {
      tenants: [{ tenant: "red", tenantId: "t" }],
      workers: ["one", "two"].map((workerId) => ({
        ...{ workerId, name: workerId, tenant: "red", slots: 2, folder: "", lies: false },
        ...{ labels: workerId === "one" ? { zone: "a" } : {}, resources: { gpu: 1 } },
      })),
      apps: [],
    },
    jobs: rows,
    events: [],
    lateResults: [],
    letters: [],
    messages: [],
    operatorJournal: [],
    refusedRuns: new Map(),
    disagreements: [],
    workerJournals: new Map(),
    appJournals: names.flatMap((key) => [
      { did: "ask", ...app, key, asked: jobs[key]!.asked ?? {}, policies: [] },
      { did: "submit", ...app, key, job: key, ...(jobs[key]!.after ? { after: jobs[key]!.after! } : {}) },
    ]),
    commits: changes.map(([second, row, table = "jobs"], index): Commit => ({
      lsn: BigInt(index),
      atMs: beganMs + second * 1000,
      changes: [{
        table,
        kind: "update",
        row: table === "jobs" ? { tenant_id: "t", updated_at: at(second), ...row } : row,
      }],
    })),
    ...more,
  };
}

/** It is given to a worker, and runs from then on. */
function runs(second: number, id: string, worker_id = "one", attempts = 1, concurrency_key?: string): Change {
  const times = { assigned_at: at(second), started_at: at(second) };
  return [second, {
    ...{ id, status: "running", worker_id, attempts: String(attempts), ...times },
    ...(concurrency_key === undefined ? {} : { concurrency_key }),
  }];
}

function becomes(second: number, id: string, status: string, more: Record<string, string | null> = {}): Change {
  return [second, { id, status, ...more }];
}

function expect(found: Violation[], ...says: RegExp[]): void {
  assert.equal(found.length, says.length, JSON.stringify(found));
  for (const [index, each] of says.entries()) assert.match(found[index]!.what, each);
}

Deno.test("a job that rejects or replaces, and is stored beside too many, is reported", () => {
  const asked = { concurrencyKey: "k", concurrencyLimit: 1 } as const;
  const jobs = { a: { asked }, b: { asked: { ...asked, concurrencyPolicy: "reject" as const } } };
  const key = { concurrency_key: "k" };
  const first = becomes(0, "a", "queued", key);
  expect(
    checkKeys(evidence({ jobs, changes: [first, becomes(1, "b", "blocked", { ...key, waiting_for: "concurrency" })] })),
    /policy reject stored it with 2 of 1/,
  );
  expect(checkKeys(evidence({ jobs, changes: [first, becomes(1, "a", "succeeded"), becomes(2, "b", "queued", key)] })));
});

Deno.test("a job that was replaced by one that did not ask for it is reported", () => {
  const replaced = { status: "cancelled", error: { code: "replaced", details: { jobId: "b" } } };
  const told = (concurrencyPolicy: "wait" | "replace") =>
    evidence({
      jobs: {
        a: { asked: { concurrencyKey: "k" }, row: replaced },
        b: { asked: { concurrencyKey: "k", concurrencyPolicy } },
      },
    });
  expect(checkKeys(told("wait")), /replaced by b, which did not ask/);
  expect(checkKeys(told("replace")));
});

Deno.test("more starts than the burst and what time brought are reported", () => {
  const asked = { rateLimit: { key: "r", limit: 1, perSeconds: 2, burst: 2 } };
  const jobs = { a: { asked }, b: { asked }, c: { asked } };
  const changes = (last: number) => [runs(0, "a"), runs(0.5, "b"), runs(last, "c")];
  expect(checkKeys(evidence({ jobs, changes: changes(1.9) })), /rate t\/r let 3 units start in 1.9/);
  expect(checkKeys(evidence({ jobs, changes: changes(2) })));
});

Deno.test("a job that starts before, or in spite of, what it comes after is reported", () => {
  const jobs = { a: {}, b: { after: ["a"] } };
  const changes = (status: string) => [runs(0, "a"), becomes(1, "a", status), runs(2, "b")];
  expect(checkOrder(evidence({ jobs, changes: [runs(0, "a"), runs(1, "b")] })), /let in while a, .* was running/);
  expect(checkOrder(evidence({ jobs, changes: changes("failed") })), /let in although a had failed/);
  expect(checkOrder(evidence({ jobs, changes: changes("succeeded") })));
  const ended = { a: {}, b: { after: ["a"], asked: { afterPolicy: "ended" as const } } };
  expect(checkOrder(evidence({ jobs: ended, changes: changes("failed") })));
});

Deno.test("a job that failed for others that succeeded is reported", () => {
  const row = { status: "failed", error: { code: "dependency_failed" } };
  expect(checkOrder(evidence({ jobs: { a: {}, b: { after: ["a"], row } } })), /they succeeded/);
  expect(checkOrder(evidence({ jobs: { a: { row: { status: "cancelled" } }, b: { after: ["a"], row } } })));
});

Deno.test("a batch that ends before its jobs, or counts them wrongly, is reported", () => {
  const told = (result: JobRow["result"], changes: Change[]) =>
    evidence({ jobs: { p: { row: { type: "muster.batch", result } }, a: { row: { parent_id: "p" } } }, changes });
  const counts = { succeeded: 1, failed: 0, cancelled: 0 };
  const child = (second: number, status: string) => becomes(second, "a", status, { parent_id: "p" });
  const ended = becomes(2, "p", "succeeded");
  expect(checkOrder(told(counts, [child(0, "running"), ended])), /ended while its job a was running/);
  expect(checkOrder(told({ ...counts, succeeded: 2 }, [])), /is succeeded with .*2.* of .*1/);
  expect(checkOrder(told(counts, [child(0, "succeeded"), ended])));
});

Deno.test("an open batch that ends before it was closed is reported", () => {
  const result = { succeeded: 0, failed: 0, cancelled: 0 };
  const told = (closedMs: number) => {
    const all = evidence({
      jobs: { p: { row: { type: "muster.batch", result } } },
      changes: [becomes(2, "p", "succeeded")],
    });
    const app = { app: "app", tenant: "red" };
    return {
      ...all,
      appJournals: [
        { did: "ask", ...app, key: "p", policies: ["batch, open"] },
        { did: "submit", ...app, key: "p", job: "p" },
        { did: "close", ...app, job: "p", wallMs: closedMs },
      ],
    };
  };
  expect(checkOrder(told(beganMs + 3_000)), /ended while it was open/);
  expect(checkOrder(told(beganMs + 1_000)));
});

Deno.test("jobs at workers that are not as they ask are reported", () => {
  const where = [{ label: "zone", operator: "=" as const, value: "a" }];
  const jobs = { a: { asked: { where } } };
  expect(checkPlacement(evidence({ jobs, changes: [runs(0, "a", "two")] })), /went to two, which is not/);
  expect(checkPlacement(evidence({ jobs, changes: [runs(0, "a", "one")] })));
});

Deno.test("a worker that gives more than it has is reported", () => {
  const half = { asked: { resources: { gpu: 0.5 } } };
  const jobs = { a: half, b: half, c: half };
  expect(
    checkPlacement(evidence({ jobs, changes: [runs(0, "a"), runs(1, "b"), runs(2, "c")] })),
    /one gives 1.5 of its 1 gpu/,
  );
  expect(
    checkPlacement(evidence({ jobs, changes: [runs(0, "a"), runs(1, "b"), becomes(2, "a", "failed"), runs(3, "c")] })),
  );
});

Deno.test("a job given to a cordoned worker is reported", () => {
  const cordon = (second: number, cordoned_at: string | null): Change => [
    second,
    { id: "one", cordoned_at },
    "worker_devices",
  ];
  const jobs = { a: {}, b: {} };
  expect(
    checkPlacement(evidence({ jobs, changes: [runs(0, "a"), cordon(1, at(1)), runs(2, "b")] })),
    /while it was cordoned/,
  );
  expect(checkPlacement(evidence({ jobs, changes: [cordon(1, at(1)), cordon(2, null), runs(3, "b")] })));
});

Deno.test("a hard key that changes its worker at once is reported, unless an operator had a word in it", () => {
  const asked = { affinity: { key: "k", mode: "hard" as const, keepSeconds: 6 } };
  const jobs = { a: { asked }, b: { asked } };
  const changes = (second: number) => [runs(0, "a"), becomes(0.5, "a", "succeeded"), runs(second, "b", "two")];
  expect(checkPlacement(evidence({ jobs, changes: changes(1) })), /key k went from one to two after 1000 ms/);
  expect(checkPlacement(evidence({ jobs, changes: changes(7) })));
  const operatorJournal = [{ did: "rebind", job: "b" }];
  expect(checkPlacement(evidence({ jobs, changes: changes(1), more: { operatorJournal } })));
});

Deno.test("a job given to a worker that does not hold the resource it needs is reported", () => {
  const jobs = { a: { asked: { resourceRef: { name: "m" } } } };
  const held: Change = [0, { tenant_id: "t", name: "m", worker_id: "one" }, "resource_holders"];
  expect(checkPlacement(evidence({ jobs, changes: [held, runs(1, "a", "two")] })), /two, which does not hold m/);
  expect(checkPlacement(evidence({ jobs, changes: [held, runs(1, "a", "one")] })));
});

Deno.test("a pause that is not what the retry policy says is reported", () => {
  const asked = { retryBackoff: "linear" as const, retryJitter: 0, retryBaseSeconds: 1, retryCapSeconds: 10 };
  const waits = (seconds: number, code = "campaign_failure") => [
    runs(0, "a", "one", 2),
    becomes(1, "a", "scheduled", { worker_id: null, run_at: at(1 + seconds), error: JSON.stringify({ code }) }),
  ];
  const told = (changes: Change[], more = {}) => evidence({ jobs: { a: { asked: { ...asked, ...more } } }, changes });
  expect(checkRetries(told(waits(1.5))), /waits 1500 ms after 2 failures: at most 2000, linear/);
  expect(checkRetries(told(waits(2.5))), /waits 2500 ms/);
  expect(checkRetries(told(waits(2))));
  expect(checkRetries(told(waits(1, "worker_lost"))));
  const early = [...waits(2), becomes(2, "a", "queued")];
  expect(checkRetries(told(early)), /went on 1000 ms before its time/);
  expect(checkRetries(told(waits(2, "bad.x"), { finalErrors: ["bad.*"] })), /tried again after bad.x, which is final/);
});

Deno.test("a job that is too early, or expired without cause, is reported", () => {
  const iso = (second: number) => new Date(beganMs + second * 1000).toISOString();
  const later = { a: { asked: { runAt: iso(5) } } };
  expect(checkRetries(evidence({ jobs: later, changes: [runs(4, "a")] })), /was given -1000 ms after its runAt/);
  expect(checkRetries(evidence({ jobs: later, changes: [runs(5, "a")] })));
  const expires = [becomes(0, "a", "queued"), becomes(3, "a", "failed", { error: '{"code": "expired"}' })];
  const jobs = (asked: Partial<SubmitJob>) => ({ a: { asked } });
  expect(checkRetries(evidence({ jobs: jobs({}), changes: expires })), /expired without a time/);
  expect(checkRetries(evidence({ jobs: jobs({ startBy: iso(4) }), changes: expires })), /expired before the time/);
  expect(checkRetries(evidence({ jobs: jobs({ startBy: iso(3) }), changes: expires })));
});

Deno.test("failed jobs without a letter, and letters that were replayed twice, are reported", () => {
  const failed = { row: { status: "failed" } };
  const again = { row: { idempotency_key: null, retry_of: "a" } };
  const letter = { job_id: "a", replayed_as: "b" };
  expect(checkRetries(evidence({ jobs: { a: failed } })), /has no dead letter/);
  expect(checkRetries(evidence({ jobs: { a: failed, b: again }, more: { letters: [letter] } })));
  expect(
    checkRetries(evidence({ jobs: { a: failed, c: again, b: again }, more: { letters: [letter] } })),
    /was replayed as c and b/,
  );
});

Deno.test("runs of a schedule that are missing, doubled up or overlap are reported", () => {
  const minute = (number: number) => beganMs + number * 60_000;
  const told = (
    minutes: readonly number[],
    overlap: "allow" | "skip",
    catchUp: "all" | "last" | "none",
    late = 1_000,
  ) => {
    const jobs = Object.fromEntries(minutes.map((number) => {
      const idempotency_key = `schedule:s:${new Date(minute(number)).toISOString()}`;
      return [`run-${number}`, { row: { idempotency_key, created_ms: minute(number) + late } }];
    }));
    const changes: Change[] = minutes.map((number) => becomes(number * 60 + late / 1000, `run-${number}`, "queued"));
    const all = evidence({ jobs, changes });
    const schedule = { id: "s", name: "nightly", cron: "* * * * *", overlap, catchUp, fromMs: minute(1) };
    return { ...all, roster: { ...all.roster, schedules: [schedule] } };
  };
  expect(checkArrivals(told([1, 2, 3], "allow", "all")));
  expect(checkArrivals(told([1, 3], "allow", "all")), /made 2 runs up to/);
  expect(checkArrivals(told([2, 3], "allow", "all")), /did not make up for its run/, /made 2 runs/);
  expect(checkArrivals(told([0], "allow", "last")), /none of its times/);
  expect(checkArrivals(told([1.5], "allow", "last")), /none of its times/);
  expect(checkArrivals(told([1], "allow", "none", 90_000)), /made up for a run that it had missed/);
  expect(checkArrivals(told([1, 2], "skip", "last")), /overlaps with run-1, against the policy skip/);
  const refusedRuns = new Map([["s", "no quota left"]]);
  expect(checkArrivals({ ...told([1], "allow", "last"), refusedRuns }), /was refused a run: no quota left/);
});

Deno.test("messages that were lost, doubled or left in their queue are reported", () => {
  const job = { row: { idempotency_key: null, message: { queue: "campaign", id: 1 } } };
  const told = (jobs: Told["jobs"], messages: Evidence["messages"]) => {
    const app = { app: "outside", tenant: "red", key: "m" };
    return {
      ...evidence({ jobs, more: { messages } }),
      appJournals: [{ did: "post", ...app }, { did: "sent", ...app }],
    };
  };
  const archived = { id: 1, key: "m", isArchived: true, status: "succeeded" };
  expect(checkArrivals(told({ a: job }, [archived])));
  expect(checkArrivals(told({ a: job }, [{ ...archived, isArchived: false }])), /still in its queue/);
  expect(checkArrivals(told({ a: job, b: job }, [archived])), /became 2 jobs/);
  expect(checkArrivals(told({}, [archived])), /became 0 jobs/);
  expect(checkArrivals(told({ a: job }, [{ ...archived, status: "failed" }])), /archived as failed, .* is succeeded/);
  expect(checkArrivals(told({ a: job }, [])), /neither in its queue nor archived/, /was sent and is gone/);
});
