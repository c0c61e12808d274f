import assert from "node:assert/strict";
import { Validator } from "@seriousme/openapi-schema-validator";
import { resolve } from "../support/json-schema.ts";

const document = JSON.parse(await Deno.readTextFile(new URL("../../docs/openapi.json", import.meta.url)));

Deno.test("docs/openapi.json is a valid OpenAPI 3.1 document", async () => {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(structuredClone(document));
  assert.ok(valid, JSON.stringify(errors));
  assert.equal(validator.version, "3.1");
});

Deno.test("every reference of docs/openapi.json leads somewhere", () => {
  const references = JSON.stringify(document).match(/"\$ref":"[^"]+"/g) ?? [];
  assert.ok(references.length > 100);
  for (const reference of new Set(references)) resolve(document, JSON.parse(`{${reference}}`));
});

Deno.test("the validator finds a planted fault", async () => {
  const { paths } = structuredClone(document);
  delete paths["/jobs"].get.responses;
  paths["/jobs"].get.parameters.push({ name: "x" });
  const { valid } = await new Validator().validate({ ...document, paths });
  assert.equal(valid, false);
});
