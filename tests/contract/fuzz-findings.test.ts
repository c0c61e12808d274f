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

Deno.test("a tenant id that is none was passed over when an API key said the tenant", async () => {
  const { api } = await createApp();
  for (const bad of ["mine", "", "null"]) {
    assertProblem(await api("/jobs", { headers: { "x-tenant-id": bad } }), "invalid_request", /x-tenant-id/);
  }
});

Deno.test("a text with a NUL character fitted the document and was refused", async () => {
  const { api } = await createApp();
  const { body: job } = await api("/jobs", { json: { type: "a" } });
  assertProblem(await api(`/jobs/${job.id}/cancel`, { json: { reason: "a\0b" } }), "invalid_request", /reason/);
  const { body: openApi } = await api("/api/openapi.json");
  assert.doesNotMatch("a\0b", new RegExp(openApi.components.schemas.CancelJob.properties.reason.pattern));
});
