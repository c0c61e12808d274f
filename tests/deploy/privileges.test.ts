import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { silent } from "../../local/log.ts";
import { applyPlatform } from "../../local/platform.ts";
import { startPostgres } from "../../local/postgres.ts";
import { forgetData } from "../../local/stack.ts";
import { allFiles } from "../check/source-files.ts";
import { asPostgres } from "./database.ts";

const folder = fileURLToPath(new URL("../../migrations", import.meta.url));

type Case = {
  /** Takes a right from `postgres`, in a database of its own; given its name. */
  take: (database: string) => string;
  /** Gives it back, where it was one on all databases. */
  giveBack?: string;
  /** The migration that is refused, and how. */
  refuses?: [file: RegExp, error: RegExp];
  /** Or what all of them, which are applied, warn of. */
  warnsOf?: RegExp;
};

/** Each right that the migrations need beside what is their own, taken away. */
const cases: Record<string, Case> = {
  "making roles": {
    take: () => "alter role postgres nocreaterole",
    giveBack: "alter role postgres createrole",
    refuses: [/foundation/, /permission denied to create role/],
  },
  "making schemas": {
    take: (database) => `alter database ${database} owner to supabase_admin`,
    refuses: [/foundation/, /permission denied for database/],
  },
  "making buckets": {
    // It has that right by its membership in these, too.
    take: () => "revoke insert on storage.buckets from postgres, anon, authenticated, service_role",
    refuses: [/artifacts/, /permission denied for table buckets/],
  },
  "writing policies on messages": {
    take: () => "drop event trigger lend_membership",
    refuses: [/policies/, /must be owner of (table|relation) messages/],
  },
  "handing on rights to messages": {
    take: () => "revoke grant option for select, insert on realtime.messages from postgres",
    warnsOf: /Realtime stays closed to workers and apps: role postgres may not grant/,
  },
  "handing on use of Realtime's schema": {
    take: () => "revoke grant option for usage on schema realtime from postgres",
    warnsOf: /Realtime stays closed to workers and apps: role postgres may not grant/,
  },
  "closing schema public": {
    take: () => "alter schema public owner to supabase_admin; grant create, usage on schema public to postgres",
    warnsOf: /Schema public stays open to the tokens of workers and apps: role postgres may not close it/,
  },
  "use of pg_cron": {
    take: () => "revoke execute on all functions in schema cron from postgres",
    warnsOf: /pg_cron may not be used by role postgres/,
  },
  "nothing at all": { take: () => "select 1", warnsOf: /^$/ },
};

Deno.test("the migrations need the rights of the platform's postgres: without one they say which", async (t) => {
  // Roles belong to a cluster: this one is broken on purpose.
  const dataDir = await Deno.makeTempDir({ prefix: "muster-privileges-" });
  const server = await startPostgres({ dataDir, port: 0, ephemeral: true, log: silent });
  const admin = postgres(server.adminDbUrl, { max: 1, onnotice() {} });
  const files = await allFiles(folder, [".sql"]);
  let count = 0;
  for (const [right, { take, giveBack, refuses, warnsOf }] of Object.entries(cases)) {
    await t.step(`without ${right}: ${refuses ? "refused" : "a warning"}`, async () => {
      const name = `project_${++count}`;
      await admin.unsafe(`create database ${name}`);
      const url = new URL(server.adminDbUrl);
      url.pathname = `/${name}`;
      await applyPlatform(url.href);
      const owner = postgres(url.href, { max: 1, onnotice() {} });
      await owner.unsafe(take(name));
      await owner.end();

      const { failed, error, warnings } = await migrate(asPostgres(url.href), files);
      if (giveBack) await admin.unsafe(giveBack);
      assert.match(failed, refuses?.[0] ?? /^$/, error);
      assert.match(error, refuses?.[1] ?? /^$/);
      if (warnsOf) assert.match(warnings.join("\n"), warnsOf);
    });
  }
  await admin.end();
  await server.stop();
  await forgetData(dataDir);
});

/** As `supabase db push` does it: a file a transaction, until one fails. */
async function migrate(url: string, files: string[]): Promise<{ failed: string; error: string; warnings: string[] }> {
  const warnings: string[] = [];
  const onnotice = ({ severity, message, code }: postgres.Notice) => {
    // 01007 is Postgres's own word for a grant that gave nothing.
    if (severity === "WARNING" && code !== "01007" && code !== "01006") warnings.push(message!);
  };
  const sql = postgres(url, { max: 1, onnotice });
  try {
    for (const file of files) {
      const text = await Deno.readTextFile(join(folder, file));
      const error = await sql.begin((tx) => tx.unsafe(text)).then(() => "", (error) => String(error.message));
      if (error) return { failed: file, error, warnings };
    }
    return { failed: "", error: "", warnings };
  } finally {
    await sql.end();
  }
}
