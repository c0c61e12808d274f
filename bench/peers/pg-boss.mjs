import { PgBoss } from "pg-boss";

/** Four pollers that take 500 at a time and go on at once while there are as many; a notification wakes them. */
const work = { batchSize: 500, localConcurrency: 4, pollingIntervalSeconds: 0.5, burstWhenBatchFull: true };

export async function createPgBoss(connectionString) {
  const boss = new PgBoss({ connectionString, max: 10, schedule: false, useListenNotify: true });
  boss.on("error", (error) => console.error(error));
  await boss.start();
  await boss.createQueue("bench", { notify: true });
  await boss.createQueue("others");

  return {
    async add({ jobs, batch, queue = "bench" }) {
      const began = performance.now();
      for (let first = 0; first < jobs; first += batch) {
        await boss.insert(
          queue,
          Array.from({ length: Math.min(batch, jobs - first) }, (_, n) => ({ data: { id: first + n } })),
        );
      }
      return { ms: performance.now() - began };
    },

    /** From the start of the first handler until the pollers have completed their last batch. */
    async drain({ jobs }) {
      let [done, began] = [0, 0];
      let finish;
      const handled = new Promise((resolve) => finish = resolve);
      await boss.work("bench", work, (batch) => {
        if (done === 0) began = performance.now();
        done += batch.length;
        if (done >= jobs) finish();
        return Promise.resolve();
      });
      await handled;
      await boss.offWork("bench", { wait: true });
      return { ms: performance.now() - began, jobs: done };
    },

    async latency({ samples, warmUps }) {
      let started;
      await boss.work("bench", work, () => {
        started(performance.now());
        return Promise.resolve();
      });
      const times = [];
      for (let n = -warmUps; n < samples; n++) {
        const handler = new Promise((resolve) => started = resolve);
        const began = performance.now();
        await boss.send("bench", { id: n });
        const at = await handler;
        if (n >= 0) times.push(at - began);
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      await boss.offWork("bench", { wait: true });
      return { times };
    },

    async close() {
      await boss.stop({ graceful: false });
    },
  };
}
