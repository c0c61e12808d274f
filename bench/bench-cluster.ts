import { startPostgres } from "../local/postgres.ts";

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

export type BenchCluster = AsyncDisposable & {
  dataDir: string;
  /** Of the first process of Postgres, below which the others are. */
  pid: number;
  /** As the superuser. */
  adminUrl: string;
};

/** A Postgres 17 with the settings above, on data that is deleted at the end. */
export async function startCluster(settings: Record<string, string> = serverSettings): Promise<BenchCluster> {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-bench-" });
  // Started by root, Postgres runs as another account, which has to get to its part of the folder.
  await Deno.chmod(dataDir, 0o711);
  const remove = () => Deno.remove(dataDir, { recursive: true }).catch(() => {});
  try {
    const server = await startPostgres({ dataDir, port: 0, settings, log: () => {} });
    return {
      dataDir,
      pid: server.pid,
      adminUrl: server.adminDbUrl,
      async [Symbol.asyncDispose]() {
        await server.stop();
        await remove();
      },
    };
  } catch (error) {
    await remove();
    throw error;
  }
}
