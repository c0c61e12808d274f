import assert from "node:assert/strict";
import { createWorld } from "./world.ts";

Deno.test("jobs find their way among workers of unlike labels and resources", async () => {
  const { app, startWorker } = await createWorld();
  await using small = await startWorker({ name: "small", labels: { cuda: "11.8.0", site: "lab" }, slots: 4 });
  await using large = await startWorker({
    name: "large",
    labels: { cuda: "12.4.1", site: "home" },
    slots: 4,
    args: ["--resource", "gpu=2", "--resource", "ram_gb=63.5"],
  });
  await Promise.all([small.waitFor("worker.online"), large.waitFor("worker.online")]);

  const sum = { type: "calc.add", payload: { a: 2, b: 3 } };
  const asked = [
    ...Array.from({ length: 3 }, () => ({
      on: "large",
      job: { ...sum, where: [{ label: "cuda", operator: "semver" as const, value: ">=12.2" }] },
    })),
    ...Array.from({ length: 3 }, () => ({
      on: "small",
      job: { ...sum, where: [{ label: "site", operator: "in" as const, values: ["lab", "cellar"] }] },
    })),
    // Two at a time: the third waits for one of them.
    ...Array.from({ length: 3 }, () => ({ on: "large", job: { ...sum, resources: { gpu: 1, ram_gb: 20.5 } } })),
  ];
  const jobs = await app.submitMany(asked.map(({ job }) => job));
  const ended = await Promise.all(jobs.map(({ job }) => app.wait(job.id, { timeoutSeconds: 30 })));
  assert.deepEqual(ended.map((job) => [job.status, job.workerName]), asked.map(({ on }) => ["succeeded", on]));
});
