import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { type Json, misfits, resolve } from "../tests/support/json-schema.ts";
import { errorList } from "../shared/errors.ts";
import { allApps, generatedDocuments } from "./openapi.ts";

const generated = generatedDocuments();
const openApi: Json = JSON.parse(generated["docs/openapi.json"]!);
const operations: Json[] = Object.entries<Json>(openApi.paths).flatMap(([path, methods]) =>
  Object.entries<Json>(methods).map(([method, operation]) => ({ method: method.toUpperCase(), path, ...operation }))
);
const parametersOf = (operation: Json): Json[] => operation.parameters.map((one: Json) => resolve(openApi, one));

for (const [path, text] of Object.entries(generated)) {
  Deno.test(`${path} is what functions/openapi.ts writes`, async () => {
    const present = await Deno.readTextFile(fileURLToPath(new URL(`../${path}`, import.meta.url)));
    assert.equal(present.replaceAll("\r\n", "\n"), text);
  });
}

Deno.test("every function and every route that it serves is in the document, and nothing else is", async () => {
  const folders: string[] = [];
  for await (const entry of Deno.readDir(new URL(".", import.meta.url))) {
    if (entry.isDirectory) folders.push(entry.name);
  }
  const served = new Set(
    allApps().flatMap((app) => app.routes)
      .filter(({ method, path }) =>
        method !== "ALL" && (path === "/api/openapi.json" || !path.endsWith("/openapi.json"))
      )
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)/g, "{$1}").replace(/\/$/, "")}`)
      // Middlewares of one method are not routes.
      .filter((route) => !route.includes("*")),
  );
  const documented = operations.map(({ method, path }) => `${method} ${path}`);
  assert.deepEqual([...served].sort(), documented.sort());
  assert.deepEqual(folders.sort(), [...new Set(documented.map((route) => route.split("/")[1]))].sort());
});

Deno.test("every operation has a name of its own, says what it does, and describes its parameters and answers", () => {
  const names = operations.map(({ operationId }) => operationId);
  assert.equal(new Set(names).size, names.length);
  const missing = operations.flatMap((operation) => {
    const { operationId, summary, description, tags, security, responses } = operation;
    const lacks = (what: string): string[] => [`${operationId ?? operation.path} lacks ${what}`];
    return [
      ...(operationId && summary && !/[.]$/.test(summary) ? [] : lacks("an id, or a summary without a period")),
      ...(/[.]$/.test(description ?? "") ? [] : lacks("a description that ends with a period")),
      ...(tags?.length === 1 && openApi.tags.some((tag: Json) => tag.name === tags[0] && tag.description)
        ? []
        : lacks("one tag that is described in complete-document.ts")),
      ...(Array.isArray(security) ? [] : lacks("who may call it")),
      ...parametersOf(operation).filter((parameter) => !parameter.description).flatMap(({ name }) =>
        lacks(`what ${name} means`)
      ),
      ...Object.entries<Json>(responses).filter(([, response]) => !resolve(openApi, response).description)
        .flatMap(([status]) => lacks(`what ${status} means`)),
    ];
  });
  assert.deepEqual(missing, []);
});

Deno.test("every operation tells the problems it answers: those of its shape, a pause with 429, the id always", () => {
  const problems = operations.flatMap((operation) => {
    const wrong: string[] = [];
    const codes: string[] = [];
    for (const [status, given] of Object.entries<Json>(operation.responses)) {
      const { headers, content = {} } = resolve(openApi, given);
      if (!headers?.["x-correlation-id"]) wrong.push(`${status} without x-correlation-id`);
      if ((status === "429") !== (headers?.["retry-after"] !== undefined)) wrong.push(`${status} and Retry-After`);
      const schema = content["application/problem+json"]?.schema;
      if (schema === undefined || status === "default") continue;
      for (const code of schema.allOf[1].properties.code.enum) {
        codes.push(code);
        if (String(errorList[code as keyof typeof errorList]?.status) !== status) wrong.push(`${code} as ${status}`);
      }
    }
    const needed = ["internal", "unavailable", "rate_limited"];
    if (operation.requestBody) needed.push("invalid_request", "payload_too_large", "unsupported_media_type");
    if (operation.security.length > 0 && !operation.security.some((one: Json) => Object.keys(one).length === 0)) {
      needed.push("unauthenticated", "forbidden");
    }
    wrong.push(...needed.filter((code) => !codes.includes(code)));
    return wrong.map((what) => `${operation.operationId}: ${what}`);
  });
  assert.deepEqual(problems, []);
});

Deno.test("what is sent has an example, and every example fits its schema", () => {
  const misfit = misfits(openApi);
  const wrong: string[] = [];
  let examples = 0;
  const look = (value: Json, place: string): void => {
    if (typeof value !== "object" || value === null) return;
    const isSchema = value.example !== undefined && (value.type !== undefined || value.properties !== undefined);
    if (isSchema) {
      examples++;
      const { example, ...schema } = value;
      const why = misfit(schema, example);
      if (why !== null) wrong.push(`${place}: ${why}`);
    }
    for (const [name, { value: example }] of Object.entries<Json>(value.examples ?? {})) {
      examples++;
      const why = misfit(value.schema, example);
      if (why !== null) wrong.push(`${place}.${name}: ${why}`);
    }
    for (const [key, child] of Object.entries(value)) if (key !== "example") look(child, `${place}.${key}`);
  };
  look(openApi, "");
  for (const { operationId, requestBody } of operations) {
    const schema = resolve(openApi, requestBody?.content["application/json"].schema);
    const shapes = schema?.anyOf?.map((one: Json) => resolve(openApi, one)) ?? (schema ? [schema] : []);
    for (const shape of shapes) if (shape.example === undefined) wrong.push(`${operationId}: no example of its body`);
  }
  assert.deepEqual(wrong, []);
  assert.ok(examples > 50, `only ${examples} were looked at`);
});

Deno.test("a number in a query is documented as a number, not as one that may be null", () => {
  const numbers = operations.flatMap((operation) =>
    parametersOf(operation).filter(({ schema }) => [schema.type].flat().some((type) => /integer|number/.test(type)))
  );
  assert.ok(numbers.length > 0);
  assert.deepEqual(numbers.filter(({ schema }) => Array.isArray(schema.type)), []);
});

Deno.test("every object that is sent is strict, and every text and list bounded", () => {
  const found: string[] = [];
  const look = (schema: Json, place: string): void => {
    const { $ref, anyOf, properties, additionalProperties, items, type } = schema;
    if ($ref !== undefined) return look(resolve(openApi, schema), $ref.split("/").at(-1)!);
    anyOf?.forEach((inner: Json) => look(inner, place));
    if (properties !== undefined && additionalProperties !== false) found.push(`${place} takes unknown fields`);
    for (const [name, inner] of Object.entries(properties ?? {})) look(inner, `${place}.${name}`);
    if (typeof additionalProperties === "object") look(additionalProperties, `${place}.*`);
    if (items !== undefined) look(items, `${place}[]`);
    if (type === "array" && schema.maxItems === undefined) found.push(`${place} is a list without end`);
    const bounded = schema.maxLength ?? schema.pattern ?? schema.format ?? schema.enum ?? schema.const;
    if (type === "string" && bounded === undefined) found.push(`${place} is a text without end`);
  };
  for (const operation of operations) {
    for (const { name, schema } of parametersOf(operation)) look(schema, `${operation.operationId}.${name}`);
    for (const { schema } of Object.values<Json>(operation.requestBody?.content ?? {})) {
      look(schema, operation.operationId);
    }
  }
  assert.deepEqual(found, []);
});
