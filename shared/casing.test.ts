import assert from "node:assert/strict";
import { toCamel, toSnake } from "./casing.ts";

Deno.test("keys change their casing on every level, and lists keep their order", () => {
  const sql = { job_id: "1", next_cursor: null, jobs: [{ max_attempts: 3, current_jobs: ["a"] }] };
  const http = { jobId: "1", nextCursor: null, jobs: [{ maxAttempts: 3, currentJobs: ["a"] }] };
  assert.deepEqual(toCamel(sql), http);
  assert.deepEqual(toSnake(http), sql);
});

Deno.test("somebody's own data keeps its keys", () => {
  const data = { snake_key: { inner_key: 1 }, camelKey: 2, ["__proto__"]: 3 };
  for (const name of ["payload", "result", "error", "data", "labels", "metrics", "metadata", "resources"]) {
    assert.deepEqual(toCamel({ [name]: data }), { [name]: data });
    assert.deepEqual(toSnake({ [name]: data }), { [name]: data });
  }
});

Deno.test("a list of resources that are held changes its casing, what each tells of itself does not", () => {
  const sql = { resources: [{ worker_id: "1", metadata: { layer_count: 80 } }] };
  assert.deepEqual(toCamel(sql), { resources: [{ workerId: "1", metadata: { layer_count: 80 } }] });
});

Deno.test("a field may have any name, also that of the prototype", () => {
  const fields = JSON.parse('{"__proto__": {"job_id": "1"}}');
  assert.deepEqual(toCamel(fields), JSON.parse('{"__proto__": {"jobId": "1"}}'));
});
