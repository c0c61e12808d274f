import assert from "node:assert/strict";
import { InvalidRequestError, UnavailableError } from "../shared/errors.ts";
import { Results } from "./results.ts";

const succeeded = (jobId: string) => ({ jobId, attempt: 1, status: "succeeded", result: null }) as const;

Deno.test("Results keeps results until they are dropped", () => {
  const results = new Results();
  results.add(succeeded("a"));
  results.add(succeeded("b"));
  assert.equal(results.failed(results.next(), new UnavailableError("down")), null);
  assert.equal(results.next().length, 2);
  results.drop([succeeded("a")]);
  assert.deepEqual(results.waiting(), [{ jobId: "b", attempt: 1 }]);
});

Deno.test("Results finds the one result that spoils a batch and replaces it by a failure", () => {
  const results = new Results();
  const refusal = new InvalidRequestError("bad value");
  for (const jobId of ["good", "bad", "fine"]) results.add(succeeded(jobId));
  const deliver = () => {
    const batch = results.next();
    const spoilt = batch.some((result) => result.jobId === "bad" && result.status === "succeeded");
    if (spoilt) results.failed(batch, refusal);
    else results.drop(batch);
    return batch.map(({ jobId, status }) => `${jobId} ${status}`);
  };
  assert.equal(deliver().length, 3);
  const sent = [];
  while (results.size > 0) sent.push(deliver());
  assert.deepEqual(sent, [["good succeeded"], ["bad succeeded"], ["bad failed"], ["fine succeeded"]]);
});
