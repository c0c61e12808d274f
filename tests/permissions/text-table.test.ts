import assert from "node:assert/strict";
import { readTextTable } from "./text-table.ts";

Deno.test("a text table is read by rows and columns", () => {
  const { columns, rows } = readTextTable(`
             viewer  admin
    get job  ok      ok
    revoke   MU002   ok
  `);
  assert.deepEqual(columns, ["viewer", "admin"]);
  assert.deepEqual([...rows.keys()], ["get job", "revoke"]);
  assert.equal(rows.get("revoke")?.get("viewer"), "MU002");
});

Deno.test("a text table with a missing cell or a doubled row is refused", () => {
  assert.throws(() => readTextTable("a  b\nrow  1"), /"row {2}1": it must have 2 cells, not 1/);
  assert.throws(() => readTextTable("a\nrow  1\nrow  2"), /two rows "row"/);
});
