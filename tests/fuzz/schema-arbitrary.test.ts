import assert from "node:assert/strict";
import fc from "fast-check";
import { CreateArtifactRequest } from "../../shared/contracts/artifacts.ts";
import { EnrollRequest } from "../../shared/contracts/enroll.ts";
import { SubmitJob, SubmitJobs } from "../../shared/contracts/jobs.ts";
import { mutated } from "./mutate.ts";
import { schemaArbitraries } from "./schema-arbitrary.ts";

const document = JSON.parse(await Deno.readTextFile(new URL("../../docs/openapi.json", import.meta.url)));
const schemas = schemaArbitraries(document, []);
const shapes = { CreateArtifactRequest, EnrollRequest, SubmitJob, SubmitJobs };

for (const [name, shape] of Object.entries(shapes)) {
  const fitting = schemas.fitting({ $ref: `#/components/schemas/${name}` });

  Deno.test(`values made from the document's ${name} fit the schema that the function checks by`, () => {
    fc.assert(fc.property(fitting, (value) => shape.safeParse(JSON.parse(JSON.stringify(value))).success), { seed: 1 });
  });

  Deno.test(`most values of ${name} that were changed in one place do not fit any more`, () => {
    const changed = fc.sample(mutated(fitting), { numRuns: 300, seed: 1 });
    const fit = changed.filter((value) => shape.safeParse(JSON.parse(JSON.stringify(value) ?? "null")).success);
    assert.ok(fit.length < 150, `${fit.length} of 300 fit`);
  });
}
