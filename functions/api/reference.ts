import { type Block, heading, paragraph, table } from "./blocks.ts";
import type { MessagesDocument, OpenApiDocument, Operation, Parameter, Schema } from "./documents.ts";

/** The reference of the API as a page, from its OpenAPI document and the schema of its messages. */
export function referencePage(openApi: OpenApiDocument, messages: MessagesDocument): Block[] {
  const operations = Object.entries(openApi.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, operation }))
  );
  const schemas = Object.entries(openApi.components.schemas);
  return [
    heading(1, "API reference"),
    paragraph(
      "Paths are below `/functions/v1` of the project. Bodies and answers are JSON. Who calls is said by an API key " +
        "(`Authorization: Bearer msk_…` or `x-api-key`), by the token of a signed-in user, or by the project's secret key " +
        "with `x-tenant-id`, which also tells the tenant of a user who is a member of several. `x-correlation-id` follows a " +
        "request through the logs and is on every answer, made where it was not given; errors are problem documents with a stable `code`. " +
        "The same as data: `/functions/v1/api/openapi.json` and `/functions/v1/api/messages.json`.",
    ),
    table(
      ["request", "what it does"],
      operations.map(({ method, path, operation }) => [
        `[${method} ${path}](#${operation.operationId.toLowerCase()})`,
        operation.summary,
      ]),
    ),
    ...openApi.tags.flatMap(({ name, description }) => [
      heading(2, `Requests: ${name}`),
      ...(description === undefined ? [] : [paragraph(`${description}.`)]),
      ...operations.filter(({ operation }) => operation.tags.includes(name))
        .flatMap(({ method, path, operation }) => operationBlocks(openApi, method, path, operation)),
    ]),
    heading(2, "Schemas"),
    ...schemas.flatMap(([name, schema]) => schemaBlocks(name, schema)),
    heading(2, "Realtime messages"),
    paragraph(
      `${messages.description} Channels are private; joining one needs a worker's token, an app's client token or a ` +
        "signed-in member.",
    ),
    table(
      ["channel", "who hears it", "broadcasts", "presence"],
      messages["x-channels"].map(({ topic, description, broadcasts, presence }) => [
        `\`${topic}\``,
        description,
        Object.entries(broadcasts).map(([event, { $ref }]) => `\`${event}\` ${linkTo($ref)}`).join(", ") || "none",
        presence === null ? "none" : linkTo(presence.$ref),
      ]),
    ),
    ...Object.entries(messages.$defs).flatMap(([name, schema]) => schemaBlocks(name, schema)),
  ];
}

function operationBlocks(openApi: OpenApiDocument, method: string, path: string, operation: Operation): Block[] {
  // Those of every operation are told at the top.
  const parameters = operation.parameters.filter((parameter) => !("$ref" in parameter)) as Parameter[];
  const body = operation.requestBody?.content["application/json"]?.schema;
  return [
    heading(3, operation.operationId, operation.operationId.toLowerCase()),
    paragraph(`\`${method} ${path}\`: ${operation.summary}. ${operation.description}`),
    ...(parameters.length === 0
      ? []
      : [table(["parameter", "in", "type", "meaning"], parameters.map((parameter) => parameterRow(parameter)))]),
    ...(body === undefined ? [] : [paragraph(`Body: ${typeOf(body)}.`)]),
    { kind: "list", items: answersOf(openApi, operation) },
  ];
}

function answersOf({ components }: OpenApiDocument, { responses }: Operation): string[] {
  const problems: string[] = [];
  const items: string[] = [];
  for (const [status, response] of Object.entries(responses)) {
    const { description, content = {} } = "$ref" in response ? components.responses[lastOf(response.$ref)]! : response;
    if ("application/problem+json" in content) {
      problems.push(...("$ref" in response ? codesOf(response.$ref) : [description]));
    } else {
      const schema = Object.values(content)[0]?.schema;
      items.push(`\`${status}\`${schema === undefined ? "" : ` ${typeOf(schema)}`}: ${description}`);
    }
  }
  return [...items, `problems: ${problems.join(", ")}`];
}

/** A problem response is named for its codes. */
function codesOf(ref: string): string[] {
  return lastOf(ref).split(".").map((code) => `\`${code}\``);
}

function parameterRow({ name, in: place, required, schema, description }: Parameter): string[] {
  return [`\`${name}\`${required ? "" : ", optional"}`, place, typeOf(schema), description ?? ""];
}

function schemaBlocks(name: string, schema: Schema): Block[] {
  const rows = fieldRows(schema, "");
  return [
    heading(3, name, name.toLowerCase()),
    ...(schema.description === undefined ? [] : [paragraph(sentence(schema.description))]),
    rows.length === 0 ? paragraph(`${typeOf(schema)}.`) : table(["field", "type", "meaning"], rows),
  ];
}

/** The fields of an object, and of the objects in it, a row each. */
function fieldRows(schema: Schema, prefix: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const place = `${prefix}${name}`;
    const inner = field.items ?? field;
    const optional = schema.required?.includes(name) ? "" : ", optional";
    return [
      [`\`${place}\`${optional}`, typeOf(field), field.description ?? ""],
      ...(inner.properties === undefined ? [] : fieldRows(inner, `${place}${field.items === undefined ? "" : "[]"}.`)),
    ];
  });
}

/** A schema in a few words: its type, and the bounds that a sender must keep. */
function typeOf(schema: Schema): string {
  if (schema.$ref !== undefined) return linkTo(schema.$ref);
  const union = schema.anyOf ?? schema.oneOf;
  if (union !== undefined) return union.map(typeOf).join(" or ");
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(" ");
  const types = [schema.type ?? []].flat();
  if (types.length === 0) return "any JSON";
  return types.map((type) => {
    if (type === "array") return `list of ${typeOf(schema.items ?? {})}${upTo(schema.maxItems, "items")}`;
    if (type === "string") {
      return schema.format === undefined ? `text${upTo(schema.maxLength, "characters")}` : schema.format;
    }
    if (type === "object") {
      return typeof schema.additionalProperties === "object" && schema.properties === undefined
        ? `object of ${typeOf(schema.additionalProperties)}`
        : "object";
    }
    return `${type}${rangeOf(schema)}`;
  }).join(" or ");
}

function upTo(bound: number | undefined, what: string): string {
  return bound === undefined ? "" : `, at most ${bound} ${what}`;
}

function rangeOf({ minimum, maximum }: Schema): string {
  const named = (bound: number | undefined): number | undefined =>
    bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER ? bound : undefined;
  const [low, high] = [named(minimum), named(maximum)];
  if (low !== undefined && high !== undefined) return ` ${low} to ${high}`;
  return low === undefined ? upTo(high, "").trimEnd() : ` from ${low}`;
}

function linkTo(ref: string): string {
  const name = lastOf(ref);
  return `[${name}](#${name.toLowerCase()})`;
}

function lastOf(ref: string): string {
  return ref.slice(ref.lastIndexOf("/") + 1);
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
