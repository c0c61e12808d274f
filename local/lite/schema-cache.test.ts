import assert from "node:assert/strict";
import { type SchemaCache, shareReadings } from "./schema-cache.ts";

/** A schema whose readings the test ends one by one. */
function makeCache() {
  const readings: PromiseWithResolvers<{ tables: unknown[] }>[] = [];
  const cache: SchemaCache = {
    introspect() {
      readings.push(Promise.withResolvers());
      return readings.at(-1)!.promise;
    },
    clearSchemaCache: () => Promise.resolve(),
  };
  shareReadings(cache);
  return { readings, ask: () => cache.introspect({ useCache: true }), forget: () => cache.clearSchemaCache() };
}

Deno.test("shareReadings() reads the schema once for all who ask", async () => {
  const { readings, ask } = makeCache();
  const answers = [ask(), ask()];
  readings[0]!.resolve({ tables: ["a"] });
  const schema = await answers[0];
  assert.equal(await answers[1], schema);
  assert.equal(await ask(), schema);
  assert.equal(readings.length, 1);
});

Deno.test("shareReadings() forgets a reading that was under way when the schema changed", async () => {
  const { readings, ask, forget } = makeCache();
  const before = ask();
  await forget();
  const after = ask();
  readings[0]!.resolve({ tables: ["a"] });
  readings[1]!.resolve({ tables: ["a", "b"] });
  assert.deepEqual(await before, { tables: ["a"] });
  assert.deepEqual(await after, { tables: ["a", "b"] });
  assert.deepEqual(await ask(), { tables: ["a", "b"] });
  assert.equal(readings.length, 2);
});

Deno.test("shareReadings() reads again after a reading that failed", async () => {
  const { readings, ask } = makeCache();
  const failed = ask();
  readings[0]!.resolve({ tables: [] });
  assert.deepEqual(await failed, { tables: [] });
  const refused = ask();
  readings[1]!.reject(new Error("no connection"));
  await assert.rejects(refused, /no connection/);
  void ask();
  assert.equal(readings.length, 3);
});
