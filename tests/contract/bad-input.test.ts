import assert from "node:assert/strict";
import { limits } from "../../shared/contracts/limits.ts";
import type { ErrorCode } from "../../shared/errors.ts";
import { assertProblem } from "../support/problem.ts";
import { type ApiRequest, createApp } from "../support/tenant.ts";

const job = { type: "calc.add", payload: {} };

/** The payload's JSON text is exactly so many bytes of UTF-8. */
function payloadOf(bytes: number): string {
  return "é".repeat(Math.floor((bytes - 2) / 2)) + "x".repeat(bytes % 2);
}

const refused: [string, ApiRequest, ErrorCode, RegExp][] = [
  ["no JSON", { raw: '{"type":' }, "invalid_request", /must be valid JSON/],
  ["an empty body", { raw: "" }, "invalid_request", /must be valid JSON/],
  [
    "a body of another content type",
    { raw: "type=a", headers: { "content-type": "text/plain" } },
    "unsupported_media_type",
    /content type/,
  ],
  ["a list instead of an object", { json: [] }, "invalid_request", /object/],
  ["null", { json: null }, "invalid_request", /object/],
  ["no type", { json: { payload: {} } }, "invalid_request", /type/],
  ["an unknown field", { json: { ...job, retires: 3 } }, "invalid_request", /retires unknown field/],
  [
    "an unknown field of one of several jobs",
    { json: { jobs: [job, { ...job, foo: 1 }] } },
    "invalid_request",
    /jobs\[1\]\.foo unknown field/,
  ],
  ["an unknown field beside several jobs", { json: { jobs: [job], foo: 1 } }, "invalid_request", /foo unknown field/],
  ["no jobs", { json: { jobs: [] } }, "invalid_request", /jobs/],
  ["more than 1,000 jobs", { json: { jobs: Array(1001).fill(job) } }, "too_many", /1000/],
  [
    "more than 20 requirements",
    { json: { ...job, requires: Array.from({ length: 21 }, (_, n) => `c${n}`) } },
    "too_many",
    /20/,
  ],
  [
    "more than 100 inputs",
    { json: { ...job, inputs: Array.from({ length: 101 }, () => crypto.randomUUID()) } },
    "too_many",
    /100/,
  ],
  [
    "a payload over 256 KiB",
    { json: { ...job, payload: payloadOf(limits.payloadBytes + 1) } },
    "payload_too_large",
    /262144/,
  ],
  [
    "a payload over 256 KiB among several",
    { json: { jobs: [job, { ...job, payload: payloadOf(limits.payloadBytes + 1) }] } },
    "payload_too_large",
    /jobs\[1\]\.payload/,
  ],
  [
    "a body over 8 MiB",
    { json: { jobs: Array(40).fill({ ...job, payload: payloadOf(limits.payloadBytes) }) } },
    "payload_too_large",
    /8388608/,
  ],
  ["a NUL character in the payload", { raw: '{"type":"a","payload":{"x":"a\\u0000b"}}' }, "invalid_request", /NUL/],
  [
    "a NUL character in a key of the payload",
    { raw: '{"type":"a","payload":{"a\\u0000b":1}}' },
    "invalid_request",
    /NUL/,
  ],
  ["a lone surrogate in the payload", { raw: '{"type":"a","payload":["\\ud800"]}' }, "invalid_request", /surrogates/],
  [
    "a NUL character in the idempotency key",
    { raw: '{"type":"a","idempotencyKey":"a\\u0000"}' },
    "invalid_request",
    /NUL/,
  ],
  ["a lone surrogate in a label", { raw: '{"type":"a","labels":{"a":"\\udfff"}}' }, "invalid_request", /surrogates/],
  ["a number out of range in the payload", { raw: '{"type":"a","payload":1e999}' }, "invalid_request", /out of range/],
  ["a number out of range elsewhere", { raw: '{"type":"a","priority":1e999}' }, "invalid_request", /priority/],
  [
    "deeply nested JSON",
    { raw: `{"type":"a","payload":${"[".repeat(100_000)}${"]".repeat(100_000)}}` },
    "invalid_request",
    /nested deeper/,
  ],
  ["a priority out of range", { json: { ...job, priority: 101 } }, "invalid_request", /priority/],
  ["a fraction of an attempt", { json: { ...job, maxAttempts: 1.5 } }, "invalid_request", /maxAttempts/],
  ["no attempts", { json: { ...job, maxAttempts: 0 } }, "invalid_request", /maxAttempts/],
  [
    "an endless attempt",
    { json: { ...job, attemptTimeoutSeconds: 604_801 } },
    "invalid_request",
    /attemptTimeoutSeconds/,
  ],
  ["a time that is none", { json: { ...job, runAt: "2026-02-30T00:00:00Z" } }, "invalid_request", /runAt/],
  ["a time before all times", { json: { ...job, runAt: "0000-01-01T00:00:00Z" } }, "invalid_request", /runAt/],
  ["a time without its zone", { json: { ...job, runAt: "2026-02-01T00:00:00" } }, "invalid_request", /runAt/],
  ["an input that is no UUID", { json: { ...job, inputs: ["x"] } }, "invalid_request", /inputs\[0\]/],
  ["an input that does not exist", { json: { ...job, inputs: [crypto.randomUUID()] } }, "not_found", /input/],
  [
    "a requirement that no capability can meet",
    { json: { ...job, requires: ["Compute Basic"] } },
    "invalid_request",
    /requires\[0\]/,
  ],
  ["a type with spaces", { json: { type: "calc add" } }, "invalid_request", /type/],
  [
    "51 labels",
    { json: { ...job, labels: Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`l${n}`, ""])) } },
    "invalid_request",
    /50 labels/,
  ],
  ["a key of a prototype", { raw: '{"type":"a","labels":{"__proto__":"x"}}' }, "invalid_request", /labels/],
  [
    "an idempotency key that is too long",
    { json: job, headers: { "idempotency-key": "k".repeat(256) } },
    "invalid_request",
    /idempotency-key/,
  ],
];

for (const [name, request, code, detail] of refused) {
  Deno.test(`POST /jobs refuses ${name} and stores nothing`, async () => {
    const { api } = await createApp();
    assertProblem(await api("/jobs", { method: "POST", ...request }), code, detail);
    assert.deepEqual((await api("/jobs")).body.jobs, []);
  });
}

Deno.test("POST /jobs advises an artifact for what is too large", async () => {
  const { api } = await createApp();
  const { body } = await api("/jobs", { json: { ...job, payload: payloadOf(limits.payloadBytes + 1) } });
  assert.match(body.hint, /artifact/);
});

Deno.test("POST /jobs takes a payload of exactly 256 KiB", async () => {
  const { api } = await createApp();
  const payload = payloadOf(limits.payloadBytes);
  const answer = await api("/jobs", { json: { ...job, payload } });
  assert.equal(answer.status, 201, JSON.stringify(answer.body).slice(0, 300));
  assert.equal((await api(`/jobs/${answer.body.id}`)).body.payload, payload);
});

Deno.test("POST /jobs lists every field that does not fit, up to twenty", async () => {
  const { api } = await createApp();
  const { body } = await api("/jobs", { json: { type: 5, priority: "high", foo: 1, bar: 2 } });
  assert.deepEqual(body.errors.map(({ path }: { path: string }) => path).sort(), ["bar", "foo", "priority", "type"]);
  const many = await api("/jobs", { json: { jobs: Array(100).fill({}) } });
  assert.equal(many.body.errors.length, 20);
});

Deno.test("a job id that is not a UUID is a bad request on every route", async () => {
  const { api } = await createApp();
  assertProblem(await api("/jobs/1"), "invalid_request", /id must be a UUID/);
  assertProblem(await api("/jobs/1/wait"), "invalid_request", /UUID/);
  assertProblem(await api("/jobs/1/events"), "invalid_request", /UUID/);
  assertProblem(await api("/jobs/1/cancel", { method: "POST" }), "invalid_request", /UUID/);
  assertProblem(await api("/jobs/%00/retry", { method: "POST" }), "invalid_request", /UUID/);
  assertProblem(await api("/artifacts/1"), "invalid_request", /UUID/);
  assertProblem(await api("/artifacts?jobId=1"), "invalid_request", /UUID/);
  assertProblem(await api("/workers/1/drain", { method: "POST" }), "invalid_request", /UUID/);
});
