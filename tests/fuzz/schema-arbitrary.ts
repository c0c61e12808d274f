import fc from "fast-check";
import { type Json, resolve } from "../support/json-schema.ts";
import { hostileText } from "./hostile-values.ts";

/** Makes values from the schemas of one document. */
export interface SchemaArbitraries {
  /** Values that fit the schema, as far as the document tells. */
  fitting(schema: Json): fc.Arbitrary<unknown>;
  /** Values at the schema's bounds and just beyond them. */
  edges(schema: Json): fc.Arbitrary<unknown>;
  /** The schema behind a reference. */
  shapeOf(schema: Json): Json;
}

/** Values of fields with a grammar, or a bound in another field, that no schema tells. */
const values: Readonly<Record<string, readonly unknown[] | undefined>> = {
  cron: ["30 7 * * mon-fri", "0 0 1 1 *", "@daily"],
  timeZone: ["Europe/Berlin", "UTC"],
  units: [1],
  // The one lies ahead, and after the other.
  startBy: ["2099-01-01T00:00:00.000Z"],
  runAt: ["2026-01-31T12:00:00.000Z"],
  // The others do not go with every other field, and none of a parent's.
  concurrencyPolicy: ["wait"],
  parentId: [],
  // What comes before depends on the request.
  after: [[]],
};

/** The same of a label expression's value, by its operator. */
const operands: Readonly<Record<string, readonly unknown[] | undefined>> = {
  "<": [24, -0.5, 1e15],
  semver: ["^1.2", ">=1 <3", "1.x || 3"],
  matches: ["^rtx-[0-9]{4}$", "a|b"],
};

/** `ids` are texts to be taken as UUIDs now and then: only an id that exists leads any further. */
export function schemaArbitraries(document: Json, ids: readonly string[]): SchemaArbitraries {
  const known = new Map<Json, fc.Arbitrary<unknown>>();

  function fitting(given: Json): fc.Arbitrary<unknown> {
    const schema = resolve(document, given) ?? {};
    const found = known.get(schema) ?? make(schema);
    known.set(schema, found);
    return found;
  }

  function make(schema: Json): fc.Arbitrary<unknown> {
    const union = schema.anyOf ?? schema.oneOf;
    if (union !== undefined) return fc.oneof(...union.map(fitting));
    if (schema.const !== undefined) return fc.constant(schema.const);
    if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
    const types: string[] = [schema.type ?? []].flat();
    if (types.length === 0) return fc.jsonValue({ maxDepth: 3 });
    return fc.oneof(...types.map((type) => ofType(type, schema)));
  }

  function ofType(type: string, schema: Json): fc.Arbitrary<unknown> {
    switch (type) {
      case "null":
        return fc.constant(null);
      case "boolean":
        return fc.boolean();
      case "integer":
        return fc.integer(boundsOf(schema, 0, 1_000_000));
      case "number":
        if (schema.minimum > 0 && schema.minimum < 1) return multiplesOf(schema.minimum, schema);
        return fc.double({ ...boundsOf(schema, 0, 1_000_000), noNaN: true, noDefaultInfinity: true });
      case "string":
        return textOf(schema);
      case "array":
        return fc.array(fitting(schema.items), {
          minLength: schema.minItems ?? 0,
          maxLength: Math.min(schema.maxItems ?? 3, 3),
        });
      case "object":
        return objectOf(schema);
    }
    throw new Error(`Cannot make a value of type "${type}"`);
  }

  function textOf(schema: Json): fc.Arbitrary<string> {
    if (schema.format === "uuid") return ids.length === 0 ? fc.uuid() : fc.oneof(fc.constantFrom(...ids), fc.uuid());
    if (schema.format === "date-time") {
      return fc.date({ min: new Date("1970-01-01"), max: new Date("2100-01-01"), noInvalidDate: true })
        .map((date) => date.toISOString());
    }
    const minLength = schema.minLength ?? 0;
    const maxLength = Math.max(minLength, Math.min(schema.maxLength ?? 30, 30));
    const fits = (text: string): boolean => text.length >= minLength && text.length <= (schema.maxLength ?? Infinity);
    if (schema.pattern !== undefined) return fc.stringMatching(new RegExp(schema.pattern)).filter(fits);
    return fc.string({ minLength, maxLength, unit: "grapheme" }).filter(fits);
  }

  function objectOf(schema: Json): fc.Arbitrary<unknown> {
    const required: string[] = schema.required ?? [];
    const fields = Object.entries<Json>(schema.properties ?? {})
      .filter(([name]) => required.includes(name) || values[name]?.length !== 0);
    if (fields.length > 0) {
      const operator = schema.properties.operator?.enum?.[0];
      const valueOf = (name: string, inner: Json): fc.Arbitrary<unknown> => {
        const told = name === "value" ? operands[operator] : values[name];
        if (told === undefined || told.length === 0) return fitting(inner);
        // Elsewhere the same name may mean something else.
        const isList = resolve(document, inner).type === "array";
        return Array.isArray(told[0]) === isList ? fc.constantFrom(...told) : fitting(inner);
      };
      return fc.record(Object.fromEntries(fields.map(([name, inner]) => [name, valueOf(name, inner)])), {
        requiredKeys: required,
        noNullPrototype: true,
      }).map((value) => withDependents(schema, value)).filter((value) => fitsCondition(schema, value));
    }
    const inner = typeof schema.additionalProperties === "object" ? schema.additionalProperties : {};
    const names = fc.stringMatching(/^[a-z][a-z0-9]{0,9}$/);
    return fc.dictionary(names, fitting(inner), { maxKeys: 3, noNullPrototype: true });
  }

  function edges(given: Json): fc.Arbitrary<unknown> {
    const schema = resolve(document, given) ?? {};
    const union = schema.anyOf ?? schema.oneOf;
    if (union !== undefined) return fc.oneof(...union.map(edges));
    const values: unknown[] = [null, "", 0, -1, true, [], {}];
    for (const bound of [schema.minimum, schema.maximum, schema.exclusiveMinimum, schema.exclusiveMaximum]) {
      if (typeof bound === "number") values.push(bound - 1, bound, bound + 1, bound + 0.5);
    }
    for (const length of [schema.minLength, schema.maxLength]) {
      if (typeof length !== "number") continue;
      for (const next of [length - 1, length, length + 1]) if (next >= 0) values.push("x".repeat(next));
    }
    const edge = fc.constantFrom(...values);
    if (schema.type === "array" && typeof schema.maxItems === "number") {
      const { maxItems } = schema;
      const filled = fc.tuple(fitting(schema.items), fc.constantFrom(maxItems, maxItems + 1))
        .map(([item, count]) => Array(count).fill(item));
      return fc.oneof({ weight: 3, arbitrary: edge }, { weight: 1, arbitrary: filled });
    }
    return fc.oneof({ weight: 2, arbitrary: edge }, { weight: 1, arbitrary: hostileText });
  }

  return { fitting, edges, shapeOf: (schema) => resolve(document, schema) };
}

/** Lists are as long as is demanded where a field is not there. */
function fitsCondition({ if: condition, then }: Json, value: Json): boolean {
  const lacking: string[] = condition?.not?.required ?? [];
  if (lacking.length === 0 || lacking.every((name) => Object.hasOwn(value, name))) return true;
  return Object.entries<Json>(then.properties).every(([name, { minItems }]) => (value[name]?.length ?? 0) >= minItems);
}

/** Leaves out what needs a field that is not there. */
function withDependents({ dependentRequired = {} }: Json, value: object): object {
  const lacking = Object.entries<string[]>(dependentRequired)
    .filter(([, needed]) => !needed.every((name) => Object.hasOwn(value, name))).map(([name]) => name);
  return Object.fromEntries(Object.entries(value).filter(([name]) => !lacking.includes(name)));
}

/** Where a fraction is the least, it is the step, too. As JSON writes them, so that no rounding shows. */
function multiplesOf(step: number, schema: Json): fc.Arbitrary<number> {
  const { max } = boundsOf(schema, 0, 1_000);
  const decimals = Math.round(-Math.log10(step));
  return fc.integer({ min: 1, max: Math.min(Math.floor(max / step), 2 ** 31 - 1) })
    .map((count) => Number((count * step).toFixed(decimals)));
}

function boundsOf(schema: Json, low: number, high: number): { min: number; max: number } {
  const min = Math.max(schema.minimum ?? low, -2_147_483_648);
  return { min, max: Math.max(min, Math.min(schema.maximum ?? high, 2_147_483_647)) };
}
