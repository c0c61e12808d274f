import { removeCluster, startPostgres } from "../local/postgres.ts";
import { onInterrupt } from "./interrupt.ts";

/**
 * What the server is told for every system that is compared, beside what the local stack sets. Not for a laptop, but
 * for a small server that does nothing else.
 */
export const serverSettings: Record<string, string> = {
  shared_buffers: "1GB",
  work_mem: "16MB",
  maintenance_work_mem: "256MB",
  // No checkpoint falls into a measurement by its time, and few by what was written.
  max_wal_size: "8GB",
  checkpoint_timeout: "30min",
  synchronous_commit: "on",
  // What is compared is the work of Postgres, not of the disk; --durable sets it.
  fsync: "off",
  full_page_writes: "on",
  wal_level: "logical",
  autovacuum_max_workers: "3",
  autovacuum_naptime: "15s",
  max_connections: "200",
  max_parallel_workers_per_gather: "0",
  jit: "off",
};

/** What the local stack sets, and no more. */
export const laptopSettings: Record<string, string> = { fsync: "off" };

export type BenchCluster = AsyncDisposable & {
  dataDir: string;
  /** Of the first process of Postgres, below which the others are. */
  pid: number;
  /** As the superuser. */
  adminUrl: string;
};

/** A Postgres 17 with these settings, on data that is deleted at the end. */
export async function startCluster(settings: Record<string, string> = serverSettings): Promise<BenchCluster> {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-bench-" });
  // Started by root, Postgres runs as another account, which has to get to its part of the folder.
  await Deno.chmod(dataDir, 0o711);
  let server: Awaited<ReturnType<typeof startPostgres>> | undefined;
  let ending: Promise<void> | undefined;
  const end = () =>
    ending ??= (async () => {
      await server?.stop();
      await removeCluster(dataDir);
      await Deno.remove(dataDir, { recursive: true }).catch(() => {});
    })();
  const forget = onInterrupt(end);
  try {
    server = await startPostgres({ dataDir, port: 0, settings, log: () => {} });
  } catch (error) {
    await end();
    forget();
    throw error;
  }
  const { pid, adminDbUrl: adminUrl } = server;
  return {
    ...{ dataDir, pid, adminUrl },
    async [Symbol.asyncDispose]() {
      await end();
      forget();
    },
  };
}
