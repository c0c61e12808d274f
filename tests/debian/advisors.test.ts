import assert from "node:assert/strict";
import { adviseOnSchema } from "../deploy/advise.ts";
import { databaseUrl } from "../deploy/database.ts";
import { findPlantedFaults } from "../deploy/planted-advisories.ts";

Deno.test("db advisors finds nothing on Postgres 15 but indexes that are not used yet", async () => {
  assert.deepEqual(await adviseOnSchema(databaseUrl!), []);
});

Deno.test("db advisors finds a planted fault of every kind on Postgres 15", findPlantedFaults);
