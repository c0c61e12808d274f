import assert from "node:assert/strict";
import { errorClasses, type ErrorCode, errorList, MusterError, musterError } from "./errors.ts";
import { errorFromAnswer, problem } from "./problem.ts";
import { errorFromSql } from "./sql-errors.ts";

const codes = Object.keys(errorList) as ErrorCode[];

Deno.test("every code has a class that is named for it", () => {
  for (const code of codes) {
    const words = code.replace(/^.*\./, "").toLowerCase().split("_");
    const name = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join("") + "Error";
    assert.equal(errorClasses[code].name, name);
    const error = musterError(code, "Cannot do it");
    assert.ok(error instanceof errorClasses[code] && error instanceof MusterError);
    assert.equal(error.name, name);
    assert.equal(error.status, errorList[code].status);
  }
});

Deno.test("SQLSTATEs are of class MU and belong to one code each", () => {
  const states = codes.map((code) => errorList[code].sqlState).filter((state) => state !== null);
  assert.equal(new Set(states).size, states.length);
  for (const state of states) assert.match(state, /^MU\d{3}$/);
});

Deno.test("an error survives the way through a problem document", () => {
  for (const code of codes) {
    const error = musterError(code, "Cannot do it", { advice: "Do that", errors: [{ path: "a", message: "Bad" }] });
    const document = JSON.parse(JSON.stringify(problem(error, "correlation")));
    const back = errorFromAnswer(document.status, document);
    assert.equal(back.code, code);
    assert.equal(back.advice, "Do that");
    assert.equal(back.correlationId, "correlation");
    assert.deepEqual(back.errors, error.errors);
  }
});

Deno.test("an internal error keeps its message to itself", () => {
  const document = problem(musterError("internal", "password is hunter2"), "correlation");
  assert.doesNotMatch(JSON.stringify(document), /hunter2/);
});

Deno.test("SQL errors of ours keep message and hint; others tell nothing of the database", () => {
  const ours = errorFromSql({ code: "MU007", message: "Cannot hold 3 jobs", hint: "Declare 3 slots" });
  assert.deepEqual([ours.code, ours.message, ours.advice], ["slots_exceeded", "Cannot hold 3 jobs", "Declare 3 slots"]);
  const others: [string, ErrorCode][] = [
    ["PGRST301", "unauthenticated"],
    ["42501", "forbidden"],
    ["22P05", "invalid_request"],
    ["57014", "unavailable"],
    ["40P01", "unavailable"],
    ["", "unavailable"],
    ["23505", "internal"],
    ["PGRST202", "internal"],
  ];
  for (const [state, code] of others) {
    const error = errorFromSql({ code: state, message: "secret_table" });
    assert.equal(error.code, code, state);
    assert.doesNotMatch(JSON.stringify(problem(error, "correlation")), /secret_table/);
  }
});

Deno.test("what an SQL error keeps for the log holds no data of a refused value or row", () => {
  const refused = [
    { code: "22P02", message: 'invalid input syntax for type uuid: "hunter2"', details: null },
    { code: "22P02", message: "invalid input syntax for type json", details: 'Token "hunter2" is invalid.' },
    { code: "22003", message: 'value "a "hunter2"\nor so" is out of range for type integer' },
    {
      code: "23505",
      message: 'duplicate key value violates unique constraint "u"',
      details: "Key (k)=(hunter2) exists.",
    },
    { code: "23514", message: 'new row violates check constraint "c"', details: "Failing row contains (1, hunter2)." },
  ];
  for (const answer of refused) {
    const error = errorFromSql(answer);
    const kept = `${error.message} ${(error.cause as Error).stack}`;
    assert.doesNotMatch(kept, /hunter2/);
    assert.match(kept, new RegExp(`${answer.code}: ${answer.message.slice(0, 5)}`));
  }
  const other = errorFromSql({ code: "XX000", message: "cache lookup failed", details: "for relation 7" });
  assert.match(other.message, /XX000: cache lookup failed for relation 7/);
});

Deno.test("a key that the gateway refuses is told from a database that cannot be reached", () => {
  assert.equal(errorFromSql({ message: "Invalid API key" }, 401).code, "unauthenticated");
  assert.equal(errorFromSql({ message: "fetch failed" }, 0).code, "unavailable");
  assert.equal(errorFromSql({ message: "<html>" }, 502).code, "unavailable");
});

Deno.test("an answer without a problem document is told by its status", () => {
  const expected: [number, ErrorCode][] = [[401, "unauthenticated"], [404, "route_not_found"], [503, "unavailable"], [
    500,
    "internal",
  ], [418, "invalid_request"]];
  for (const [status, code] of expected) assert.equal(errorFromAnswer(status, "<html>").code, code);
});

Deno.test("how long to wait comes from SQL's detail, within bounds, and survives a problem document", () => {
  const told = (details: string | null) =>
    errorFromSql({ code: "MU018", message: "Cannot serve", details }).retryAfterSeconds;
  assert.equal(told('{"retry_after_seconds": 3}'), 3);
  assert.equal(told('{"retry_after_seconds": 999999999}'), 3600);
  for (const details of [null, "", "3", '{"retry_after_seconds": "3"}', '{"retry_after_seconds": 1e9}']) {
    assert.equal(told(details), undefined, String(details));
  }
  const document = problem(musterError("rate_limited", "Cannot serve", { retryAfterSeconds: 7 }), "correlation");
  assert.equal(errorFromAnswer(429, JSON.parse(JSON.stringify(document))).retryAfterSeconds, 7);
  assert.equal(errorFromAnswer(429, { ...document, retryAfterSeconds: "7" }).retryAfterSeconds, undefined);
});
