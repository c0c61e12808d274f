import assert from "node:assert/strict";
import { runCampaign } from "./campaign.ts";
import { policyNames } from "./mix/policies.ts";
import { hasPassed, report } from "./report.ts";
import { planFaults } from "./schedule.ts";
import { possibleFaults } from "./stack-control.ts";

/** What every run has, however slow the machine: what apps ask for at once, and what comes without them. */
const mix = [
  ...policyNames,
  ...["batch", "batch, open", "inserted row", "message of a queue", "schedule, every minute, all"],
  ...["dead letter, replayed", "cordon"],
];

const seed = 20261121;
const minutes = 0.75;

Deno.test("every kind of fault together lose no job, double none and break no rule", async () => {
  const folder = await Deno.makeTempDir({ prefix: "muster-campaign-" });
  const outcome = await runCampaign({ seed, minutes, workers: 7, folder, log: () => {} });
  const text = report(outcome);
  assert.ok(hasPassed(outcome), `${text}\nJournals and logs are in ${folder}`);
  console.log(text);

  // It has to have been a campaign: every kind of fault was made, and those that hit everybody hit jobs.
  const made = new Set(outcome.aftermaths.map(({ fault }) => fault));
  assert.deepEqual(made, new Set(possibleFaults));
  assert.ok(outcome.aftermaths.some(({ fault, touched }) => fault === "kill gateway" && touched.length > 0));
  assert.ok(outcome.totals.retries > 0);
  // And every policy was in the mix.
  const missing = mix.filter((name) => (outcome.totals.byPolicy.get(name)?.jobs ?? 0) === 0);
  assert.deepEqual(missing, []);
  await Deno.remove(folder, { recursive: true });
});

Deno.test("its seed gives room for every kind of fault", () => {
  const workers = ["1", "2", "3", "4", "5", "6", "7"].map((number) => `worker-${number}`);
  const planned = planFaults({ seed, minutes, workers, apps: ["app-1", "app-2", "bystander"] });
  assert.deepEqual(new Set(planned.map(({ fault }) => fault)), new Set(possibleFaults));
});
