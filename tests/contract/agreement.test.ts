import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { artifactBucket, artifactStatuses } from "../../shared/contracts/artifacts.ts";
import { jobStatuses } from "../../shared/contracts/jobs.ts";
import { apiKeyScopes, memberRoles } from "../../shared/contracts/tenants.ts";
import { workerStatuses } from "../../shared/contracts/workers.ts";
import { errorList } from "../../shared/errors.ts";
import { project } from "../support/project.ts";

const migrations = new URL("../../migrations/", import.meta.url);

Deno.test("SQL and TypeScript know the same statuses", async () => {
  const sql = postgres(project.dbUrl, { max: 1, onnotice: () => {} });
  try {
    const labels = async (type: string): Promise<string[]> => {
      const rows = await sql`
        select e.enumlabel as label from pg_catalog.pg_enum e
        where e.enumtypid = ${`muster.${type}`}::regtype order by e.enumsortorder`;
      return rows.map((row) => row["label"]);
    };
    assert.deepEqual((await labels("job_status")).sort(), [...jobStatuses].sort());
    assert.deepEqual((await labels("worker_status")).sort(), [...workerStatuses].sort());
    assert.deepEqual((await labels("artifact_status")).sort(), [...artifactStatuses].sort());
    assert.deepEqual((await labels("member_role")).sort(), [...memberRoles].sort());
    const [scopes] = await sql`
      select pg_get_constraintdef(c.oid) as text from pg_catalog.pg_constraint c
      where c.conname = 'scopes_are_powers_of_a_key' and c.conrelid = 'muster.api_keys'::regclass`;
    assert.deepEqual([...scopes!["text"].matchAll(/'(\w+)'/g)].map(([, scope]) => scope), [...apiKeyScopes]);
    const [bucket] = await sql`select public from storage.buckets where id = ${artifactBucket}`;
    assert.equal(bucket?.["public"], false);
  } finally {
    await sql.end();
  }
});

Deno.test("SQL raises no error that the list does not have", async () => {
  const states = new Set<string>(Object.values(errorList).map(({ sqlState }) => sqlState ?? ""));
  for await (const { name } of Deno.readDir(migrations)) {
    const text = await Deno.readTextFile(fileURLToPath(new URL(name, migrations)));
    for (const [, state] of text.matchAll(/'(MU\d{3})'/g)) assert.ok(states.has(state!), `${name} raises ${state}`);
  }
});
