import assert from "node:assert/strict";
import { adviseOnSchema } from "./advise.ts";
import { databaseUrl } from "./database.ts";
import { findPlantedFaults } from "./planted-advisories.ts";

const ignore = databaseUrl === undefined;

Deno.test({ name: "db advisors finds nothing but indexes that are not used yet", ignore }, async () => {
  assert.deepEqual(await adviseOnSchema(databaseUrl!), []);
});

Deno.test({ name: "db advisors finds a planted fault of every kind", ignore, fn: findPlantedFaults });
