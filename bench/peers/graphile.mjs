import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";
import { untilTrue } from "./until-true.mjs";

const silent = new Logger(() => () => {});
const schema = "graphile_worker";

/** As its own performance tests run it: 24 jobs at a time. `batched` is what its documentation says of high throughput. */
const modes = {
  default: { concurrentJobs: 24, maxPoolSize: 25 },
  batched: {
    ...{ concurrentJobs: 24, maxPoolSize: 25 },
    ...{ localQueue: { size: 500 }, completeJobBatchDelay: 0, failJobBatchDelay: 0 },
  },
};

export async function createGraphile(connectionString, mode) {
  const utils = await makeWorkerUtils({ connectionString, logger: silent });
  await utils.migrate();
  const pool = new pg.Pool({ connectionString, max: 1 });
  const start = (bench) =>
    run({
      preset: { worker: { connectionString, logger: silent, ...modes[mode] } },
      taskList: { bench },
      noHandleSignals: true,
    });

  return {
    async add({ jobs, batch, queue = "bench" }) {
      const began = performance.now();
      for (let first = 0; first < jobs; first += batch) {
        const specs = Array.from({ length: Math.min(batch, jobs - first) }, (_, n) => ({
          identifier: queue,
          payload: { id: first + n },
        }));
        await utils.addJobs(specs);
      }
      return { ms: performance.now() - began };
    },

    /** From the start of the first handler until no job of the queue is left. */
    async drain({ jobs }) {
      let [done, began] = [0, 0];
      let finish;
      const handled = new Promise((resolve) => finish = resolve);
      const runner = await start(() => {
        if (done === 0) began = performance.now();
        if (++done === jobs) finish();
      });
      await handled;
      // Batched completions may still be on their way.
      await untilTrue(async () => {
        const { rows } = await pool.query(
          `select not exists (select from ${schema}._private_jobs j join ${schema}._private_tasks t on t.id = j.task_id
            where t.identifier = 'bench') as is_empty`,
        );
        return rows[0].is_empty;
      });
      const ms = performance.now() - began;
      await runner.stop();
      return { ms, jobs: done };
    },

    /** One job at a time to an idle runner: milliseconds from before it is added to the start of its handler. */
    async latency({ samples, warmUps }) {
      let started;
      const runner = await start(() => started(performance.now()));
      const times = [];
      for (let n = -warmUps; n < samples; n++) {
        const handler = new Promise((resolve) => started = resolve);
        const began = performance.now();
        await utils.addJob("bench", { id: n });
        const at = await handler;
        if (n >= 0) times.push(at - began);
        // The runner has gone idle again.
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await runner.stop();
      return { times };
    },

    async close() {
      await pool.end();
      await utils.release();
    },
  };
}
