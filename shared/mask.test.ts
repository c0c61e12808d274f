import assert from "node:assert/strict";
import { makeSecret } from "./auth/secret.ts";
import { musterError } from "./errors.ts";
import { createLog } from "./http/log.ts";
import { mask, maskText } from "./mask.ts";
import { problem } from "./problem.ts";

const jwt = `eyJhbGciOiJIUzI1NiJ9.${
  btoa(JSON.stringify({ sub: "worker" })).replaceAll("=", "")
}.c2lnbmF0dXJlc2lnbmF0dXJl`;

/** One of each kind, by what of it must not be seen. */
const kinds: Record<string, { text: string; hidden: string }> = {
  "an API key": await secretOf("apiKey"),
  "an enrollment token": await secretOf("enrollmentToken"),
  "a secret key of the project": { text: "sb_secret_abcdefghijk", hidden: "abcdefghijk" },
  "a JWT": { text: jwt, hidden: jwt.split(".")[1]! },
  "a signature alone": { text: jwt, hidden: jwt.split(".")[2]! },
  "an authorization header": { text: "Bearer 0123456789abcdef", hidden: "0123456789abcdef" },
  "a password of another system": { text: "Basic dXNlcjpwYXNzd29yZA==", hidden: "dXNlcjpwYXNzd29yZA" },
  "a signed URL": {
    text: "https://x.supabase.co/storage/v1/object/sign/a/b?token=opaque.value&download=b",
    hidden: "opaque.value",
  },
  "a key in a websocket's URL": { text: "wss://x/realtime/v1/websocket?vsn=1&apikey=opaquekey", hidden: "opaquekey" },
  "a database URL": { text: "postgresql://postgres:hunter2@db:5432/postgres", hidden: "hunter2" },
  "a private key": { text: "-----BEGIN PRIVATE KEY-----\nMIGHAgEA\n-----END PRIVATE KEY-----", hidden: "MIGHAgEA" },
};

async function secretOf(kind: "apiKey" | "enrollmentToken"): Promise<{ text: string; hidden: string }> {
  const { value } = await makeSecret(kind);
  return { text: value, hidden: value.slice(4) };
}

/** Where a secret may stand in what is logged. */
const places: Record<string, (text: string) => unknown> = {
  "a field": (text) => ({ note: text }),
  "the middle of a sentence": (text) => ({ message: `cannot use "${text}", it is old` }),
  "a nested object": (text) => ({ a: { b: { c: text } } }),
  "an array": (text) => ({ list: ["x", [text]] }),
  "the name of a field": (text) => ({ [text]: 1 }),
  "an error": (text) => ({ error: new Error(`refused ${text}`) }),
  "an error's cause": (text) => ({ error: new Error("refused", { cause: new TypeError("inner", { cause: text }) }) }),
  "a field of an error": (text) => ({ error: Object.assign(new Error("x"), { request: { url: text } }) }),
  "headers": (text) => ({ headers: new Headers({ "x-note": text.replaceAll("\n", " ") }) }),
  "a map": (text) => ({ map: new Map([["k", text]]) }),
};

Deno.test("no secret of any kind comes through a log, wherever it stands", () => {
  for (const [kind, { text, hidden }] of Object.entries(kinds)) {
    for (const [place, put] of Object.entries(places)) {
      const lines: string[] = [];
      const log = createLog({}, { write: (line) => lines.push(line) });
      log("info", "test.said", put(text) as Record<string, unknown>);
      log.with(put(text) as Record<string, unknown>)("info", "test.said");
      assert.equal(lines.length, 2);
      for (const line of lines) {
        assert.ok(!line.includes(hidden), `${kind} in ${place}: ${line}`);
        JSON.parse(line);
      }
    }
  }
});

Deno.test("fields that hold secrets are masked whatever they hold, and ids beside them are kept", () => {
  const fields = {
    authorization: "x",
    Apikey: "x",
    "x-api-key": "x",
    password: "x",
    token: "x",
    accessToken: "x",
    refresh_token: "x",
    enrollmentToken: "x",
    proof: { a: 1 },
    secret: ["x"],
    privateJwk: { d: "x" },
    d: "x",
    cookie: "x",
  };
  for (const [name, value] of Object.entries(mask(fields) as object)) assert.equal(value, "…", name);
  const kept = {
    workerId: "1",
    enrollmentTokenId: "2",
    tokens: 3,
    isToken: true,
    prefix: "msk_",
    code: "MU001",
    token: null,
  };
  assert.deepEqual({ ...mask(kept) as object }, kept);
});

Deno.test("a log line is written for anything: circles, depths, lengths, numbers that JSON has not", () => {
  const circle: Record<string, unknown> = { big: 10n, at: new Date(NaN), run: () => 1, bytes: new Uint8Array(3) };
  circle["self"] = circle;
  let deep: unknown = "end";
  for (let n = 0; n < 10_000; n++) deep = { deep };
  const lines: string[] = [];
  const log = createLog({}, { write: (line) => lines.push(line) });
  log("error", "test.said", {
    circle,
    deep,
    long: "x".repeat(1_000_000),
    many: Array(100_000).fill("x"),
    __proto__: "x",
  });
  assert.ok(lines[0]!.length < 20_000, `${lines[0]!.length}`);
  const line = JSON.parse(lines[0]!);
  assert.deepEqual([line.circle.self, line.circle.big, line.circle.bytes], ["(circular)", "10", "(3 bytes)"]);
});

Deno.test("a problem document repeats no secret that was sent in the wrong place", () => {
  for (const { text, hidden } of Object.values(kinds)) {
    const error = musterError("invalid_request", `Cannot accept capability "${text}"`, {
      advice: `Do not send ${text}`,
      errors: [{ path: `labels.${text}`, message: `Unknown ${text}` }],
    });
    const document = JSON.stringify(problem(error, "correlation"));
    assert.ok(!document.includes(hidden), document);
  }
});

Deno.test("ordinary text stays as it is", () => {
  for (
    const text of [
      "job 7 was not ours",
      "https://x.supabase.co/functions/v1/jobs?limit=5",
      "msk_ and mse_",
      "a:b@c",
      "eyJ",
    ]
  ) {
    assert.equal(maskText(text), text);
  }
});
