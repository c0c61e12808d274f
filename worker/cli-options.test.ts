import assert from "node:assert/strict";
import { UsageError } from "../shared/usage-error.ts";
import { identityFileName, readOptions } from "./cli-options.ts";

const none = () => undefined;
const url = "https://x.supabase.co";

Deno.test("readOptions() lets arguments win over the environment", () => {
  const environment = (name: string) => ({ MUSTER_URL: "https://env.example", MUSTER_TOKEN: "mse_env" })[name];
  const options = readOptions({ url: `${url}/` }, environment);
  assert.equal(options.url, url);
  assert.equal(options.token, "mse_env");
  assert.equal(readOptions({}, environment).url, "https://env.example");
});

Deno.test("readOptions() reads lists, pairs and numbers", () => {
  const options = readOptions({
    url,
    capability: ["a", "b", "a"],
    label: ["k=v=w", "e="],
    resource: ["gpu=2", "ram_gb=0.5"],
    concurrency: "7",
  }, none);
  assert.deepEqual(options.capabilities, ["a", "b"]);
  assert.deepEqual(options.labels, { k: "v=w", e: "" });
  assert.deepEqual(options.resources, { gpu: 2, ram_gb: 0.5 });
  assert.equal(options.slots, 7);
  assert.equal(options.drainSeconds, 30);
  assert.equal(options.realtime, true);
});

Deno.test("readOptions() refuses what it cannot use", () => {
  for (
    const values of [
      {},
      { url: "x.supabase.co" },
      { url: "ftp://x" },
      { url, slots: "0" },
      { url, slots: "1.5" },
      { url, slots: "257" },
      { url, "drain-seconds": "-1" },
      { url, label: ["=v"] },
      { url, label: ["_=v"] },
      { url, resource: ["gpu"] },
      { url, resource: ["gpu=many"] },
      { url, resource: ["gpu=0"] },
      { url, resource: ["gpu=1.2.3"] },
      { url, resource: ["GPU=1"] },
      { url, resource: ["slots=2"] },
      { url, "log-format": "xml" },
    ]
  ) assert.throws(() => readOptions(values, none), UsageError, JSON.stringify(values));
});

Deno.test("identityFileName() makes one safe name of host and worker", () => {
  assert.equal(identityFileName("http://127.0.0.1:54321", "my laptop/2"), "127.0.0.1_54321-my_laptop_2.json");
});
