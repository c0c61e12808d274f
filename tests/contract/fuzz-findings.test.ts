import assert from "node:assert/strict";
import { assertProblem } from "../support/problem.ts";
import { createApp } from "../support/tenant.ts";

// What fuzzing found and was mended, each by what was wrong.

Deno.test("a content type with a line break was promised by the document and refused by the database", async () => {
  const { api } = await createApp();
  const file = { name: "a.txt", sizeBytes: 1, sha256: "0".repeat(64) };
  for (const contentType of ["text/plain;\ncharset=utf-8", "text/plain\t; charset=utf-8", "text/plain;\u2028a=b"]) {
    assertProblem(
      await api("/artifacts", { json: { ...file, contentType } }),
      "invalid_request",
      /contentType must be/,
    );
  }
  const spaced = await api("/artifacts", { json: { ...file, contentType: "text/plain ;  charset=utf-8" } });
  assert.equal(spaced.status, 201, JSON.stringify(spaced.body));
});
