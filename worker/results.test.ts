import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InvalidRequestError, UnavailableError } from "../shared/errors.ts";
import { Results } from "./results.ts";
import { fileSpool } from "./runtime/file-spool.ts";
import type { Spool } from "./spool.ts";

const succeeded = (jobId: string) => ({ jobId, attempt: 1, status: "succeeded", result: null }) as const;

function createResults(spool?: Spool) {
  const told: string[] = [];
  const results = new Results({ spool, log: ({ event }) => told.push(event) });
  const add = (result: Parameters<Results["add"]>[0]) => {
    results.add(result);
    results.release(result);
  };
  return { results, add, told };
}

Deno.test("Results keeps results until they are dropped", () => {
  const { results, add } = createResults();
  add(succeeded("a"));
  add(succeeded("b"));
  assert.equal(results.failed(results.next(), new UnavailableError("down")), null);
  assert.equal(results.next().length, 2);
  results.drop([succeeded("a")]);
  assert.deepEqual(results.waiting(), [{ jobId: "b", attempt: 1 }]);
});

Deno.test("Results finds the one result that spoils a batch and replaces it by a failure", () => {
  const { results, add } = createResults();
  const refusal = new InvalidRequestError("bad value");
  for (const jobId of ["good", "bad", "fine"]) add(succeeded(jobId));
  const deliver = () => {
    const batch = results.next();
    const spoilt = batch.some((result) => result.jobId === "bad" && result.status === "succeeded");
    if (spoilt) results.failed(batch, refusal);
    else results.drop(batch);
    return batch.map(({ jobId, status }) => `${jobId} ${status}`);
  };
  assert.equal(deliver().length, 3);
  const sent = [];
  while (!results.isEmpty) sent.push(deliver());
  assert.deepEqual(sent, [["good succeeded"], ["bad succeeded"], ["bad failed"], ["fine succeeded"]]);
});

const ids = ["00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"] as const;

Deno.test("Results come back from the spool in another process, and leave it when they are delivered", async () => {
  const folder = join(await mkdtemp(join(tmpdir(), "muster-spool-")), "worker.spool");
  const first = createResults(fileSpool(folder));
  const failed = {
    jobId: ids[1],
    attempt: 2,
    status: "failed",
    error: { message: "Ünfug 🙈", retryable: false },
  } as const;
  first.add({ ...succeeded(ids[0]), result: { text: "grüße\r\n" } });
  first.results.add(failed);
  await first.results.keep();
  assert.deepEqual(first.told, ["result.spooled", "result.spooled"]);

  const second = createResults(fileSpool(folder));
  await second.results.load();
  assert.deepEqual(second.results.next(), [{ ...succeeded(ids[0]), result: { text: "grüße\r\n" } }, failed]);
  assert.deepEqual(second.results.waiting(), [{ jobId: ids[0], attempt: 1 }, { jobId: ids[1], attempt: 2 }]);
  second.results.drop([succeeded(ids[0])]);
  await second.results.keep();
  assert.deepEqual(await readdir(folder), [`${ids[1]}.2.result.json`]);
  await rm(join(folder, ".."), { recursive: true });
});

Deno.test("Results leaves alone what is no result in the spool, and says so", async () => {
  const folder = await mkdtemp(join(tmpdir(), "muster-spool-"));
  await writeFile(join(folder, "torn.1.result.json"), '{"jobId":"');
  await writeFile(join(folder, "unrelated.txt"), "");
  const { results, told } = createResults(fileSpool(folder));
  await results.load();
  assert.equal(results.isEmpty, true);
  assert.deepEqual(told, ["spool.unreadable"]);
  assert.equal((await readdir(folder)).length, 2);
  await rm(folder, { recursive: true });
});

Deno.test("Results that cannot be written wait in memory, which is said once", async () => {
  const folder = await mkdtemp(join(tmpdir(), "muster-spool-"));
  const notAFolder = join(folder, "file");
  await writeFile(notAFolder, "");
  const { results, add, told } = createResults(fileSpool(join(notAFolder, "spool")));
  add(succeeded(ids[0]));
  add(succeeded(ids[1]));
  await results.keep();
  assert.deepEqual(told, ["spool.failed"]);
  assert.equal(results.next().length, 2);
  await rm(folder, { recursive: true });
});

Deno.test("Results of attempts that are over take no slot and are still sent", () => {
  const { results, add } = createResults();
  add(succeeded("a"));
  add(succeeded("b"));
  results.outlived([succeeded("a")]);
  assert.equal(results.size, 1);
  assert.deepEqual(results.waiting(), [{ jobId: "b", attempt: 1 }]);
  const batch = results.next();
  assert.equal(batch.length, 2);
  assert.equal(results.sizeWithout(batch), 0);
});
