import { Buffer } from "node:buffer";
import fc from "fast-check";
import { type Json, resolve } from "../support/json-schema.ts";
import { hostileBytes, hostileJson, hostileText } from "./hostile-values.ts";
import { mutated } from "./mutate.ts";
import type { FuzzRequest } from "./request.ts";
import { type SchemaArbitraries, schemaArbitraries } from "./schema-arbitrary.ts";

/** What the world of a run offers to requests, by name. */
export interface Offer {
  /** Texts to be taken as ids now and then. */
  readonly ids: readonly string[];
  /** Callers by name; the first is the one that may do most things. */
  readonly credentials: readonly string[];
  /** The caller of most requests to an operation, where the first may not use it. */
  readonly callers: Readonly<Record<string, string>>;
  /** Where fields exclude each other: one of these goes over a fitting body; undefined leaves a field out. */
  readonly bodies: Readonly<Record<string, readonly Record<string, unknown>[]>>;
  /**
   * Values that no schema can make, such as a proof, by `operationId.field`, or `*.field` for every operation. A list
   * for a parameter is one of several.
   */
  readonly values: Readonly<Record<string, unknown>>;
}

interface Operation {
  readonly operationId: string;
  readonly method: string;
  readonly path: string;
  readonly parameters: Json[];
  readonly body: Json | undefined;
}

type Parts = Pick<FuzzRequest, "method" | "headers" | "body" | "fits" | "aimed"> & { path: string; query: string[] };
/** A value, and whether it fits its schema. */
type Made = { readonly value: unknown; readonly fits: boolean };
type Change = (parts: Parts) => Parts;

/** The operations of the document, by their names, as arbitraries of requests. */
export function requestsOf(document: Json, offer: Offer): Map<string, fc.Arbitrary<FuzzRequest>> {
  const schemas = schemaArbitraries(document, offer.ids);
  const operations = Object.entries<Json>(document.paths).flatMap(([path, methods]) =>
    Object.entries<Json>(methods).map(([method, operation]): Operation => ({
      operationId: operation.operationId,
      method: method.toUpperCase(),
      path,
      parameters: operation.parameters.map((parameter: Json) => resolve(document, parameter)),
      body: operation.requestBody?.content["application/json"]?.schema,
    }))
  );
  return new Map(operations.map((operation) => [operation.operationId, requestOf(operation, schemas, offer)]));
}

/** Parameters whose values only the server makes, or that the body may contradict: no schema tells which fit. */
const opaque: ReadonlySet<string> = new Set(["cursor", "idempotency-key", "headSeq", "headHash"]);

const unchanged: Change = (parts) => parts;

function requestOf(operation: Operation, schemas: SchemaArbitraries, offer: Offer): fc.Arbitrary<FuzzRequest> {
  const changes: fc.WeightedArbitrary<Change>[] = [
    { weight: 4, arbitrary: fc.constant(unchanged) },
    { weight: 2, arbitrary: headerChange },
    { weight: 1, arbitrary: methodChange },
    { weight: 1, arbitrary: pathChange },
    { weight: 1, arbitrary: queryChange },
  ];
  if (operation.body !== undefined) changes.push({ weight: 2, arbitrary: rawBodyChange });
  const credential = fc.oneof(
    { weight: 6, arbitrary: fc.constant(offer.callers[operation.operationId] ?? offer.credentials[0]!) },
    { weight: 4, arbitrary: fc.constantFrom(...offer.credentials) },
  );
  return fc.tuple(partsOf(operation, schemas, offer), fc.oneof(...changes), credential).map(
    ([parts, change, credential]) => {
      const { path, query, ...rest } = change(parts);
      return {
        operationId: operation.operationId,
        ...rest,
        fits: rest.fits && change === unchanged,
        path: `/functions/v1${path}${query.length === 0 ? "" : `?${query.join("&")}`}`,
        credential,
      };
    },
  );
}

/** A request that goes to the operation: its parameters and its body fit, or differ from what fits. */
function partsOf(operation: Operation, schemas: SchemaArbitraries, offer: Offer): fc.Arbitrary<Parts> {
  const { operationId, method, path, parameters, body } = operation;
  const always = parameters.filter(({ required, in: place }) => required || place === "path");
  const atTimes = parameters.filter((parameter) => !always.includes(parameter));
  // Few at a time: each can make the request unfit.
  const values = fc.subarray(atTimes, { maxLength: Math.min(2, atTimes.length) }).chain((some) => {
    const chosen = [...always, ...some].map(({ name, schema, in: place }): [string, fc.Arbitrary<Made>] => {
      const fitting = given(`${operationId}.${name}`, offer) ?? likely(operation, schema, schemas, offer);
      const other = place === "path" ? fc.oneof(hostileText, fc.uuid()) : schemas.edges(schema);
      return [
        name,
        fc.oneof({ weight: 8, arbitrary: made(fitting, !opaque.has(name)) }, {
          weight: 1,
          arbitrary: made(other, false),
        }),
      ];
    });
    return fc.record<Record<string, Made>>(Object.fromEntries(chosen));
  });
  const json = body === undefined ? made(fc.constant(undefined), true) : bodyOf(operationId, body, schemas, offer);
  return fc.tuple(values, json).map(([values, { value: json, fits }]) => {
    const placed = (place: string): [string, string][] =>
      parameters.filter(({ name, in: at }) => at === place && values[name] !== undefined)
        .map(({ name }) => [name, textOf(values[name]!.value)]);
    const filled = placed("path").reduce((at, [name, text]) => at.replace(`{${name}}`, () => encoded(text)), path);
    return {
      method,
      path: filled,
      query: placed("query").map(([name, text]) => `${name}=${encoded(text)}`),
      headers: {
        ...Object.fromEntries(placed("header").filter(([, text]) => isHeaderValue(text))),
        ...(json === undefined ? {} : { "content-type": "application/json" }),
      },
      body: json === undefined ? null : { text: JSON.stringify(json) ?? "" },
      fits: fits && Object.values(values).every(({ fits }) => fits),
      // A part of the path that is empty or climbs up makes another path.
      aimed: placed("path").every(([, text]) => text !== "" && text !== "." && text !== ".."),
    };
  });
}

function made(values: fc.Arbitrary<unknown>, fits: boolean): fc.Arbitrary<Made> {
  return values.map((value) => ({ value, fits }));
}

function bodyOf(operationId: string, schema: Json, schemas: SchemaArbitraries, offer: Offer): fc.Arbitrary<Made> {
  const over = fc.constantFrom(...offer.bodies[operationId] ?? [{}]);
  const fitting = fc.tuple(schemas.fitting(schema), over).map(([value, over]) => {
    const own = Object.entries(offer.values).filter(([name]) => name.startsWith(`${operationId}.`))
      .map(([name, given]) => [name.slice(operationId.length + 1), given] as const)
      .filter(([name]) => Object.hasOwn(value as object, name));
    return { ...value as object, ...Object.fromEntries(own), ...over };
  });
  return fc.oneof(
    { weight: 4, arbitrary: made(fitting, true) },
    { weight: 4, arbitrary: made(mutated(fitting), false) },
    { weight: 2, arbitrary: made(atTheEdge(schema, fitting, schemas), false) },
  );
}

/** One field at or beyond its bounds, the others fitting. */
function atTheEdge(schema: Json, fitting: fc.Arbitrary<unknown>, schemas: SchemaArbitraries): fc.Arbitrary<unknown> {
  const [shape] = schema.anyOf ?? [schema];
  const fields = Object.entries<Json>(schemas.shapeOf(shape).properties ?? {});
  if (fields.length === 0) return schemas.edges(schema);
  return fc.tuple(fitting, fc.oneof(...fields.map(([name, inner]) => schemas.edges(inner).map((edge) => [name, edge]))))
    .map(([value, [name, edge]]) => ({ ...value as object, [name as string]: edge }));
}

function given(name: string, offer: Offer): fc.Arbitrary<unknown> | undefined {
  const found = [name, `*.${name.slice(name.indexOf(".") + 1)}`].find((key) => Object.hasOwn(offer.values, key));
  if (found === undefined) return undefined;
  const value = offer.values[found];
  return Array.isArray(value) ? fc.constantFrom(...value) : fc.constant(value);
}

/** An id of the resource that the path is about, mostly; it may be another's. */
function likely({ path }: Operation, schema: Json, schemas: SchemaArbitraries, offer: Offer): fc.Arbitrary<unknown> {
  const resource = /^\/(\w+?)s?\//.exec(path)?.[1];
  const ids = offer.ids.filter((id) => id.startsWith(`⟦${resource}`));
  if (schema.format !== "uuid" || ids.length === 0) return schemas.fitting(schema);
  return fc.oneof({ weight: 3, arbitrary: fc.constantFrom(...ids) }, { weight: 1, arbitrary: schemas.fitting(schema) });
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value) ?? "";
}

/** As a path or query carries it; ⟦…⟧ stays, to be filled in later. */
function encoded(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll("%E2%9F%A6", "⟦").replaceAll("%E2%9F%A7", "⟧");
}

function isHeaderValue(text: string): boolean {
  return /^[\x20-\x7e⟦⟧]*$/.test(text);
}

const rawBodyChange: fc.Arbitrary<Change> = fc.oneof(
  hostileJson.map((text): Change => (parts) => ({ ...parts, body: { text } })),
  hostileBytes.map((bytes): Change => (parts) => ({
    ...parts,
    body: { base64: Buffer.from(bytes).toString("base64") },
  })),
  fc.nat(200).map((cut): Change => (parts) =>
    parts.body !== null && "text" in parts.body ? { ...parts, body: { text: parts.body.text.slice(0, cut) } } : parts
  ),
  fc.constantFrom(
    "text/plain",
    "application/xml",
    "application/json; charset=utf-16",
    "multipart/form-data",
    "",
    "a/b/c",
    "application/problem+json",
  )
    .map((type): Change => (parts) => ({ ...parts, headers: { ...parts.headers, "content-type": type } })),
  fc.constant<Change>((parts) => ({
    ...parts,
    headers: Object.fromEntries(Object.entries(parts.headers).filter(([name]) => name !== "content-type")),
  })),
  fc.constant<Change>((parts) => ({ ...parts, body: null })),
);

const headers = fc.constantFrom<Record<string, string>>(
  { "x-tenant-id": "" },
  { "x-tenant-id": "null" },
  { "x-tenant-id": "⟦tenant-of-others⟧" },
  { "x-tenant-id": "⟦tenant-of-others⟧, ⟦tenant⟧" },
  { "x-correlation-id": "x".repeat(300) },
  { "x-correlation-id": 'a b"c' },
  { "x-correlation-id": "{}" },
  { "idempotency-key": "x".repeat(256) },
  { "idempotency-key": "" },
  { authorization: "Bearer" },
  { authorization: "Bearer  " },
  { authorization: "Basic YTpi" },
  { authorization: "bearer ⟦key⟧ ⟦key⟧" },
  { authorization: `Bearer ${"x".repeat(4_000)}` },
  { authorization: `Bearer ${".".repeat(200)}` },
  { "x-api-key": "msk_" },
  { "x-api-key": "__proto__" },
  { accept: "text/html" },
  { accept: "image/*;q=x,,;;" },
  { "accept-encoding": "br;q=9" },
  { "content-encoding": "gzip" },
  { "if-none-match": "*" },
  { "if-none-match": '"x' },
  { range: "bytes=0-" },
  { "x-http-method-override": "DELETE" },
  { "x-forwarded-for": "⟦⟧, ::1, 999.1.1.1" },
  { "x-forwarded-host": "evil.example" },
  { "x-forwarded-proto": "javascript" },
  { "x-forwarded-prefix": "/../.." },
  { "cf-connecting-ip": "not an address" },
  { "content-profile": "muster_internal" },
  { prefer: "tx=rollback" },
  { cookie: "a=b; sb-access-token=x" },
  { origin: "null" },
  { host: "127.0.0.1:1" },
  { "x-empty": "" },
  Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`x-many-${n}`, "v"])),
);

const headerChange: fc.Arbitrary<Change> = headers.map((more) => (parts) => ({
  ...parts,
  headers: { ...parts.headers, ...more },
}));

const methodChange: fc.Arbitrary<Change> = fc.constantFrom(
  "GET",
  "POST",
  "PUT",
  "PATCH",
  "DELETE",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "PROPFIND",
)
  .map((method) => (parts) => ({ ...parts, method, aimed: false }));

const pathChange: fc.Arbitrary<Change> = fc.constantFrom<(path: string) => string>(
  (path) => `${path}/`,
  (path) => `${path}//`,
  (path) => `/${path}`,
  (path) => `${path}/..`,
  (path) => `${path}/%2e%2e/%2e%2e`,
  (path) => `${path}%2f..%2f..`,
  (path) => `${path}/%00`,
  (path) => `${path}%`,
  (path) => `${path}%ff`,
  (path) => `${path};a=b`,
  (path) => `${path}/openapi.json`,
  (path) => path.toUpperCase(),
  (path) => path.replaceAll("/", "%2F"),
  (path) => path.replaceAll("/", "\\"),
  (path) => `${path}/${"a/".repeat(500)}`,
  (path) => `${path}/${"x".repeat(5_000)}`,
  (path) => `${path}#fragment`,
  (path) => `${path}/__proto__`,
  (path) => `${path}/constructor`,
).map((change) => (parts) => ({ ...parts, path: change(parts.path), aimed: false }));

const queryChange: fc.Arbitrary<Change> = fc.oneof(
  fc.constantFrom(
    "unknown=1",
    "__proto__=1",
    "constructor=x",
    "=",
    "%",
    "limit=1&limit=2",
    "limit[]=1",
    "limit=0x10",
    "limit=+1",
    "limit=",
    "cursor=%00",
    "cursor=e30",
    "cursor=⟦job⟧",
    "status=queued,,",
    "status=queued,nope",
    "%00=1",
    "a%ff=b",
    "after=-1",
    "timeoutSeconds=-1",
    "timeoutSeconds=1e1000",
    "timeoutSeconds=NaN",
  ),
  hostileText.map((text) => `cursor=${encoded(text)}`),
).map((more) => (parts) => ({ ...parts, query: [...parts.query, more] }));
