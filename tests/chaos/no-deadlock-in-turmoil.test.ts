import assert from "node:assert/strict";
import { Connections } from "../support/connections.ts";
import { TestDatabase } from "../support/database.ts";
import { violations } from "../support/invariants.ts";
import { Random } from "../support/random.ts";
import { Turmoil } from "./turmoil.ts";

const callers = 10;
const operations = 1500;

Deno.test("anything at any time over ten connections: no deadlock, no undocumented error, and every invariant holds", async () => {
  const seed = Number(Deno.env.get("MUSTER_TEST_SEED") ?? Math.floor(Math.random() * 2 ** 31));
  await using db = await TestDatabase.create();
  await using connections = new Connections(db, callers);
  const turmoil = new Turmoil(db, connections, new Random(seed));
  const hint = `of seed ${seed}: MUSTER_TEST_SEED=${seed} repeats the choices, though not their timing`;

  await turmoil.run(callers, operations);
  assert.deepEqual(turmoil.failures, [], `errors ${hint}`);
  assert.deepEqual(await violations(db.sql), [], `violations ${hint}`);

  assert.deepEqual(await turmoil.settle(), [], `jobs that never ended ${hint}`);
  assert.deepEqual(await violations(db.sql), [], `violations after the end ${hint}`);
  const rows = await db.sql`select id, status, attempts, result from muster.jobs`;
  const jobs = new Map(rows.map((row) => [row.id as string, row]));
  assert.deepEqual([...turmoil.submitted].filter((id) => !jobs.has(id)), [], `lost jobs ${hint}`);
  assert.equal(jobs.size, turmoil.submitted.size, `jobs that nobody handed in ${hint}`);
  for (const [key, ids] of turmoil.jobOfKey) assert.equal(ids.size, 1, `jobs of key ${key} ${hint}`);
  for (const [id, { attempt, status }] of turmoil.accepted) {
    const job = jobs.get(id)!;
    assert.deepEqual([job.status, job.attempts], [status, attempt], `job ${id} was accepted otherwise ${hint}`);
    if (status === "succeeded") assert.deepEqual(job.result, { attempt });
  }
});
