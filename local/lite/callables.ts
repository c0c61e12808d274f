import type { Sql } from "postgres";
import { errorAnswer } from "./rpc-errors.ts";

/** A function of an exposed schema, with the query that calls it. */
export type Callable = {
  schema: string;
  name: string;
  parameters: { name: string; type: string; hasDefault: boolean }[];
  isSet: boolean;
  result: "void" | "scalar" | "composite";
  query: string;
};

type Row = Omit<Callable, "query" | "parameters"> & { names: string[]; types: string[]; defaults: number };

/** Reads the functions of the exposed schemas that take named arguments. */
export async function readCallables(sql: Sql, schemas: string[]): Promise<Callable[]> {
  const rows = await sql<Row[]>`
    select n.nspname as schema, p.proname as name, p.proretset as "isSet", p.pronargdefaults as defaults,
      coalesce(p.proargnames[1:p.pronargs], '{}') as names,
      array(select format_type(t, null) from unnest(p.proargtypes) with ordinality as a (t, i) order by i) as types,
      case
        when p.prorettype = 'void'::regtype then 'void'
        when t.typtype = 'c' or p.prorettype = 'record'::regtype or p.proargmodes && '{o,b,t}' then 'composite'
        else 'scalar'
      end as result
    from pg_proc p
    join pg_namespace n on n.oid = p.pronamespace
    join pg_type t on t.oid = p.prorettype
    where n.nspname = any (${schemas}) and p.prokind = 'f' and p.provariadic = 0
      and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype)
      and (p.proargmodes is null or p.proargmodes[1:p.pronargs] <@ '{i}')`;
  return rows
    .filter(({ names, types }) => names.length === types.length && names.every((name) => name !== ""))
    .map(({ names, types, defaults, ...rest }) => {
      const parameters = names.map((name, i) => ({
        name,
        type: types[i]!,
        hasDefault: i >= names.length - defaults,
      }));
      return { ...rest, parameters, query: "" };
    });
}

/** The one function that takes exactly these arguments, with its query, or PostgREST's refusal. */
export function findCallable(all: Callable[], schema: string, name: string, given: string[]): Callable | Response {
  const matching = all.filter((f) =>
    f.schema === schema && f.name === name &&
    given.every((key) => f.parameters.some((p) => p.name === key)) &&
    f.parameters.every((p) => p.hasDefault || given.includes(p.name))
  );
  const [found, another] = matching;
  if (found && !another) return { ...found, query: callQuery(found, given) };
  const signature = given.length > 0 ? `(${given.toSorted().join(", ")})` : " without parameters";
  if (found) {
    const message = `Could not choose the best candidate function between: ${matching.map(describe).join(", ")}`;
    const hint = "Try renaming the parameters or the function itself in the database so function overloading can be " +
      "resolved";
    return errorAnswer(300, "PGRST203", message, null, hint);
  }
  const similar = all.find((f) => f.schema === schema && f.name === name);
  return errorAnswer(
    404,
    "PGRST202",
    `Could not find the function ${schema}.${name}${signature} in the schema cache`,
    `Searched for the function ${schema}.${name}${signature}, but no matches were found in the schema cache.`,
    similar ? `Perhaps you meant to call the function ${describe(similar)}` : null,
  );
}

// PostgREST's query: Postgres itself reads the arguments from the JSON body and writes the result as JSON.
function callQuery({ schema, name, parameters, isSet, result }: Callable, given: string[]): string {
  const used = parameters.filter((p) => given.includes(p.name));
  const columns = used.map((p) => `${quote(p.name)} ${p.type}`).join(", ");
  const assigned = used.map((p) => `${quote(p.name)} := args.${quote(p.name)}`).join(", ");
  // A function without parameters is given no body, but the statement may still name it.
  const source = used.length > 0
    ? `json_to_record($1::text::json) as args (${columns})`
    : `(select ${parameters.length > 0 ? "$1::text" : "null"}) as args`;
  const target = `${quote(schema)}.${quote(name)}(${assigned})`;
  const called = result === "composite"
    ? `select called.* from ${source}, lateral ${target} as called`
    : `select ${target} as value from ${source}`;
  const body = {
    void: "''",
    scalar: isSet ? "coalesce(json_agg(t.value), '[]')::text" : "coalesce((json_agg(t.value) -> 0)::text, 'null')",
    composite: isSet ? "coalesce(json_agg(t), '[]')::text" : "coalesce((json_agg(t) -> 0)::text, 'null')",
  }[result];
  return `with t as (${called})
    select ${body} as body, count(t)::int as total,
      nullif(current_setting('response.status', true), '') as status,
      nullif(current_setting('response.headers', true), '') as headers
    from t`;
}

function describe({ schema, name, parameters }: Callable): string {
  return `${schema}.${name}(${parameters.map((p) => `${p.name} => ${p.type}`).join(", ")})`;
}

function quote(identifier: string): string {
  return `"${identifier.replaceAll('"', '""')}"`;
}
