import assert from "node:assert/strict";
import { join } from "node:path";
import postgres from "postgres";

export interface Find {
  readonly place: string;
  readonly form: string;
}

/** A text as it is and as base64, at each place it can begin at, and hex have it. */
export function needlesOf(text: string): ReadonlyMap<string, string> {
  const bytes = new TextEncoder().encode(text);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const needles = new Map([["plain", text], ["hex", hex], ["HEX", hex.toUpperCase()]]);
  for (const offset of [0, 1, 2]) {
    const padded = String.fromCharCode(...new Uint8Array(offset), ...bytes);
    // Without the characters at the ends that depend on the neighbours.
    const form = btoa(padded).slice(Math.ceil(offset * 8 / 6), Math.floor(padded.length * 8 / 6));
    needles.set(`base64 at ${offset}`, form);
    needles.set(`base64url at ${offset}`, form.replaceAll("+", "-").replaceAll("/", "_"));
  }
  return needles;
}

/** Everything that a system wrote, searched for what must not be in it as it comes in. */
export class Haystack {
  readonly #needles: readonly (readonly [string, string])[];
  readonly #found: Find[] = [];
  readonly #sizes = new Map<string, number>();

  constructor(needles: ReadonlyMap<string, ReadonlyMap<string, string>>) {
    this.#needles = [...needles].flatMap(([text, forms]) =>
      [...forms].map(([form, needle]) => [`${text} as ${form}`, needle] as const)
    );
  }

  add(place: string, text: string): void {
    this.#sizes.set(place, (this.#sizes.get(place) ?? 0) + text.length);
    for (const [form, needle] of this.#needles) if (text.includes(needle)) this.#found.push({ place, form });
  }

  found(): readonly Find[] {
    return this.#found;
  }

  /** Fails unless there was something to search in each of the places. */
  assertCovered(places: readonly string[]): void {
    for (const place of places) {
      // A partition is named for its table.
      const some = [...this.#sizes].some(([known, size]) => size > 0 && known.startsWith(place));
      assert.ok(some, `nothing was searched in ${place}`);
    }
  }

  /** Every file of a folder and those within, byte for byte: database files and write-ahead log among them. */
  async addFolder(place: string, folder: string): Promise<void> {
    for await (const entry of Deno.readDir(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory) await this.addFolder(place, path);
      if (!entry.isFile) continue;
      // One that is gone since it was listed was a temporary file.
      const bytes = await Deno.readFile(path).catch(() => new Uint8Array());
      this.add(`${place} ${path}`, new TextDecoder("latin1").decode(bytes));
    }
  }

  /** Every row of every table of every schema, and the queries that the server remembers. */
  async addDatabase(adminUrl: string): Promise<void> {
    const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
    try {
      const tables = await sql`
        select format('%I.%I', n.nspname, c.relname) as name
        from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'm') and n.nspname not in ('information_schema', 'pg_toast')
          and n.nspname !~ '^pg_(temp|toast)' and c.relname <> 'pg_largeobject'`;
      assert.ok(tables.length > 50, "all schemas are looked at");
      for (const name of [...tables.map((row) => row["name"] as string), "pg_catalog.pg_stat_activity"]) {
        // The search itself is among the queries, without what it looks for.
        const rows = await sql.unsafe(`select to_jsonb(t)::text as row, t::text as plain from ${name} t`);
        this.add(`table ${name}`, rows.map((row) => `${row["row"]}\n${row["plain"]}`).join("\n"));
      }
    } finally {
      await sql.end();
    }
  }

  /** Puts a text where it must not be. */
  async plant(adminUrl: string, text: string): Promise<void> {
    const sql = postgres(adminUrl, { max: 1, onnotice: () => {} });
    try {
      await sql`create table public.planted (note jsonb)`;
      await sql`insert into public.planted values (${sql.json({ note: text })})`;
    } finally {
      await sql.end();
    }
  }
}
