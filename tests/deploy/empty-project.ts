import postgres from "postgres";
import { applyPlatform } from "../../local/platform.ts";
import { maintainPartitions } from "../../local/realtime/partitions.ts";
import { asPostgres } from "./database.ts";

export type EmptyProject = AsyncDisposable & {
  /** As the superuser. */
  readonly sql: postgres.Sql;
  /** As `postgres`, who migrates. */
  readonly url: string;
};

/** A database as a Supabase project has it before its first migration, on the cluster of the tests. */
export async function createEmptyProject(): Promise<EmptyProject> {
  const target = new URL(Deno.env.get("MUSTER_TEST_ADMIN_DB_URL")!);
  const cluster = postgres(target.href, { max: 1, onnotice() {} });
  const name = `project_${crypto.randomUUID().replaceAll("-", "")}`;
  await cluster.unsafe(`create database ${name}`);
  target.pathname = `/${name}`;
  const sql = postgres(target.href, { max: 2, onnotice() {} });
  await applyPlatform(sql);
  await maintainPartitions(sql);
  return {
    sql,
    url: asPostgres(target.href),
    async [Symbol.asyncDispose]() {
      await sql.end({ timeout: 1 });
      await cluster.unsafe(`drop database ${name} with (force)`);
      await cluster.end();
    },
  };
}
