/** A fault, and words of what is said of it. */
export type LintFault = { text: string; says: string };

const plpgsql = (name: string, signature: string, body: string, says: string): [string, LintFault] => [
  name,
  {
    text: `create function muster_private.planted_${name}${signature} language plpgsql set search_path = '' as $planted$
      ${body} $planted$`,
    says,
  },
];

const doesNotExist = "does not exist";
const returnsNothing = "() returns void";

/** What plpgsql_check reports as an error, a warning or an extra warning, a function each. */
export const lintFaults: Record<string, LintFault> = Object.fromEntries([
  plpgsql("unknown_column", returnsNothing, "begin perform no_such_column from muster.jobs; end", doesNotExist),
  plpgsql("unknown_table", returnsNothing, "begin delete from muster.no_such_table where true; end", doesNotExist),
  plpgsql("unknown_function", returnsNothing, "begin perform muster_private.no_such_function(1); end", doesNotExist),
  plpgsql("unknown_sequence", returnsNothing, "begin perform nextval('muster.no_such_sequence'); end", doesNotExist),
  plpgsql(
    "unknown_field",
    returnsNothing,
    "declare v_job muster.jobs; begin v_job.no_such_field := 1; end",
    "has no field",
  ),
  plpgsql(
    "unknown_field_of_record",
    returnsNothing,
    "declare v_row record; begin select 1 as a into v_row; perform v_row.b; end",
    "has no field",
  ),
  plpgsql(
    "unknown_column_in_dynamic_sql",
    returnsNothing,
    "begin execute 'select no_such_column from muster.jobs'; end",
    doesNotExist,
  ),
  plpgsql(
    "wrong_type",
    returnsNothing,
    "declare v_at timestamptz := 1 + 1; begin perform v_at; end",
    "target type is different",
  ),
  plpgsql("wrong_type_of_result", "() returns uuid", "begin return 'text'; end", "target type is different"),
  plpgsql(
    "wrong_type_of_rows",
    "() returns setof integer",
    "begin return query select 'a'::text; end",
    "structure of query does not match",
  ),
  plpgsql("unused_variable", returnsNothing, "declare v_unused integer; begin perform 1; end", "unused variable"),
  plpgsql("never_read", returnsNothing, "declare v_n integer; begin v_n := 1; end", "never read variable"),
  plpgsql("unused_parameter", "(n integer) returns void", "begin perform 1; end", "unused parameter"),
  plpgsql(
    "hidden_parameter",
    "(n integer) returns integer",
    "declare n integer := 2; begin return n; end",
    "is overlapped",
  ),
  plpgsql("unset_out", "(out a integer, out b integer)", "begin a := 1; end", "unmodified OUT variable"),
  plpgsql("dead_code", "() returns integer", "begin return 1; perform 2; end", "unreachable code"),
  plpgsql("no_return", "() returns integer", "begin perform 1; end", "without RETURN"),
  plpgsql(
    "missing_return",
    "(n integer) returns integer",
    "begin if n > 0 then return 1; end if; end",
    "without RETURN",
  ),
  plpgsql("no_destination", returnsNothing, "begin select 1; end", "no destination"),
  plpgsql(
    "too_few_values",
    returnsNothing,
    "declare a int; b int; begin select 1 into a, b; perform a, b; end",
    "too few attributes",
  ),
  plpgsql(
    "too_many_values",
    returnsNothing,
    "declare a int; begin select 1, 2 into a; perform a; end",
    "too many attributes",
  ),
  plpgsql("wrong_format", "() returns text", "begin return format('%s %s', 1); end", "too few arguments"),
  plpgsql(
    "writes_though_stable",
    "() returns void stable",
    "begin delete from muster.jobs where true; end",
    "not allowed",
  ),
  plpgsql("commits", returnsNothing, "begin commit; end", "invalid transaction termination"),
]);

/** What plpgsql_check finds only when it is asked in a way that `db lint` does not. */
export const unseenByDefault: Record<string, LintFault> = Object.fromEntries([
  plpgsql(
    "sql_of_an_argument",
    "(name text) returns void",
    "begin execute 'select ' || planted_sql_of_an_argument.name; end",
    "not sanitized",
  ),
  [
    "trigger",
    {
      text: `
        create function muster_private.planted_trigger() returns trigger language plpgsql set search_path = '' as $planted$
        begin new.no_such_column := 1; return new; end $planted$;
        create trigger planted before insert on muster.tenants
          for each row execute function muster_private.planted_trigger()`,
      says: "has no field",
    },
  ],
]);
