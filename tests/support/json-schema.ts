import { z } from "zod";

/** A JSON value of some document, walked by hand. */
// deno-lint-ignore no-explicit-any -- documents are looked at field by field
export type Json = any;

/** Follows a `$ref` within the document; anything else is answered as it is. */
export function resolve(document: Json, value: Json): Json {
  if (typeof value?.$ref !== "string") return value;
  const found = value.$ref.slice(2).split("/").reduce((at: Json, key: string) => at?.[key], document);
  if (found === undefined) throw new Error(`The document has no ${value.$ref}`);
  return resolve(document, found);
}

/** Why a value does not fit a schema of an OpenAPI document, in one line; null when it fits. */
export type Misfit = (schema: Json, value: unknown) => string | null;

/** Makes zod validate by the schemas of an OpenAPI document, each read once. */
export function misfits(document: Json): Misfit {
  const $defs = withDefs(document.components.schemas);
  const read = new Map<Json, z.ZodType>();
  return (schema, value) => {
    let validator = read.get(schema);
    if (validator === undefined) {
      validator = z.fromJSONSchema({ ...withDefs(schema), $defs });
      read.set(schema, validator);
    }
    const result = validator.safeParse(value);
    if (result.success) return null;
    return result.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ");
  };
}

const unread = ["dependentRequired", "if", "then"];

/** The same schema with its references as JSON Schema by itself has them, and without the keywords zod does not read. */
function withDefs(schema: Json): Json {
  const text = JSON.stringify(schema, (key, value) => unread.includes(key) ? undefined : value);
  return JSON.parse(text.replaceAll('"#/components/schemas/', '"#/$defs/'));
}
