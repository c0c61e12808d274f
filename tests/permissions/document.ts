import { channels, functions, routes, tables } from "./matrix.ts";
import type { TextTable } from "./text-table.ts";

/** docs/permissions.md: the matrix as people read it. */
export function permissionsPage(): string {
  return `# Who may do what

Written from \`tests/permissions/matrix.ts\`, which the tests hold every route, function, table and channel against, as
each of these callers: a row that is missing, or a cell that is wrong, fails them.

_Outsider_ is a signed-in user who is no member of the tenant; _client_ is the short token that an app gets for its API
key; _key_ is an API key with the scope \`read\` and the one it is named for. _Other admin_ and _other worker_ belong to
another tenant and ask for what is this one's. _Service_ is the project's secret key.

## Routes

✓ is let in; 401, 403 and 404 are the refusals; ∅ is let in and finds nothing of this tenant. _Visitor_ sends the
publishable key.

${markdown(routes, { ok: "✓", none: "∅" })}

## Functions in Postgres

✓ is carried out, MU… refused by that error ([errors](errors.md)), ∅ carried out without a trace of this tenant; – is
no door at all: the role may not execute the function. People and keys come through the Edge Functions, which say who calls; none of
their own tokens executes a function directly.

${markdown(functions, { ok: "✓", none: "∅", "-": "–" })}

## Tables

What a select shows: the rows of the _own_ tenant, of _mine_ alone, _all_, or ∅ none; – may not select. Nobody may write.

${markdown(tables, { none: "∅", "-": "–" })}

## Channels

Private channels of Realtime: b reads broadcasts and B sends them, p reads presence and P shows it; – may not join.
\`<own>\` is of this tenant, \`<peer>\` another worker of it, \`<sibling>\` another app of it, \`<other>\` of another tenant.

${markdown(channels, { "-": "–" })}
`;
}

function markdown({ columns, rows }: TextTable, signs: Readonly<Record<string, string>>): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    line(["", ...columns]),
    line(["---", ...columns.map(() => ":-:")]),
    ...[...rows].map(([name, cells]) =>
      line([`\`${name}\``, ...columns.map((column) => signs[cells.get(column)!] ?? cells.get(column)!)])
    ),
  ].join("\n");
}
