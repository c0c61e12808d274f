import type { Mutation } from "./mutation.ts";

const expressions = "migrations/20261121000570_expressions.sql";
const claimMode = "migrations/20261121000610_claim_mode.sql";
const rates = "migrations/20261121000645_rate_limits.sql";
const admission = "migrations/20261121000650_admission.sql";
const concurrency = "migrations/20261121000655_concurrency.sql";
const dependencies = "migrations/20261121000660_dependencies.sql";
const batches = "migrations/20261121000670_batches.sql";
const affinity = "migrations/20261121000680_affinity.sql";
const placing = "migrations/20261121000685_placing.sql";
const fairness = "migrations/20261121000690_fairness.sql";
const sweeps = "migrations/20261121000692_sweeps.sql";
const retry = "migrations/20261121000695_retry.sql";
const deadLetters = "migrations/20261121000850_dead_letters.sql";
const named = "migrations/20261121001120_resources.sql";
const rebind = "migrations/20261121001130_rebind.sql";
const cron = "migrations/20261121001155_cron.sql";
const runs = "migrations/20261121001165_schedule_runs.sql";
const inserted = "migrations/20261121001167_inserted_jobs.sql";
const bridge = "migrations/20261121001170_bridge.sql";
const explainGates = "migrations/20261121001182_explain_gates.sql";

/** What jobs ask for besides a worker that can do them, and where they come from. */
export const policyMutations: readonly Mutation[] = [
  {
    name: "not-in-asks-for-the-label",
    breaks: "notIn fails where the worker has no such label",
    file: expressions,
    find: "return v_operator in ('!=', 'notIn', 'absent');",
    replace: "return v_operator in ('!=', 'absent');",
    tests: ["tests/sql/label-expressions.test.ts"],
  },
  {
    name: "at-least-is-more-than",
    breaks: ">= leaves out the number itself",
    file: expressions,
    find: "else expression_holds.label::numeric >= ",
    replace: "else expression_holds.label::numeric > ",
    tests: ["tests/sql/label-expressions.test.ts"],
  },
  {
    name: "caret-reaches-over-zero",
    breaks: "^0.1 takes 0.2, as if its major version were not 0",
    file: expressions,
    find: "when v_major > 0 or v_minor is null then",
    replace: "when v_major >= 0 or v_minor is null then",
    tests: ["tests/sql/label-expressions.test.ts"],
  },
  {
    name: "resources-have-always-room",
    breaks: "A worker has room for jobs that take more than it has left",
    file: "migrations/20261121000460_places.sql",
    find: "- coalesce(((room_for.worker).held_resources ->> r.key)::numeric, 0)",
    replace: "",
    tests: ["tests/chaos/i5-resources-hold.test.ts"],
  },
  {
    name: "cordoned-workers-are-called",
    breaks: "Workers in claim mode are called for jobs that only a cordoned one could take",
    file: claimMode,
    find: "      and w.held_count < w.slots and w.cordoned_at is null)\n  limit 1;",
    replace: "      and w.held_count < w.slots)\n  limit 1;",
    tests: ["tests/sql/claim_mode.test.ts"],
  },
  {
    name: "rate-has-no-burst",
    breaks: "Tokens of a rate limit pile up beyond its burst",
    file: rates,
    find: "  v_limit.tokens := least(greatest(v_limit.burst - v_inside, 0),\n    v_limit.tokens",
    replace: "  v_limit.tokens := least(v_limit.burst,\n    v_limit.tokens",
    tests: ["tests/sql/job-rate-limits.test.ts", "tests/chaos/gates-in-races.test.ts"],
  },
  {
    name: "rate-counts-jobs-rather-than-units",
    breaks: "A job that takes several units passes a rate limit for one",
    file: rates,
    find: "        sum(muster_private.rate_units(j.policy, v_limit.burst)) over",
    replace: "        sum(1) over",
    tests: ["tests/sql/job-rate-limits.test.ts"],
  },
  {
    name: "gates-forget-the-rate-behind-a-key",
    breaks: "A job that its concurrency key lets go passes its rate limit, too",
    file: admission,
    find:
      "array_agg(j.id) filter (where not j.policy ? 'rate_limit'), array_agg(j.id) filter (where j.policy ? 'rate_limit')",
    replace: "array_agg(j.id), null",
    tests: ["tests/sql/job-rate-limits.test.ts"],
  },
  {
    name: "reject-counts-what-is-let-in",
    breaks: "A job that rejects is stored behind others that wait for its key",
    file: concurrency,
    find: "continue when v_policy <> 'reject' or v_count <= v_key.most;",
    replace: "continue when v_policy <> 'reject' or v_count - 1 <= v_key.most;",
    tests: ["tests/sql/concurrency-policies.test.ts"],
  },
  {
    name: "replace-begins-with-what-runs",
    breaks: "A job that replaces ends what runs, and leaves what only waits",
    file: concurrency,
    find: "order by n.place, j.position\n      limit v_excess",
    replace: "order by n.place desc, j.position\n      limit v_excess",
    tests: ["tests/sql/concurrency-policies.test.ts"],
  },
  {
    name: "the-cancelled-doom-nobody",
    breaks: "A job waits for ever for one that was cancelled",
    file: dependencies,
    find: "where d.after_id = any (doomed_jobs.ended) and p.status in ('failed', 'cancelled')",
    replace: "where d.after_id = any (doomed_jobs.ended) and p.status in ('failed')",
    tests: ["tests/sql/dependencies.test.ts"],
  },
  {
    name: "open-batches-end",
    breaks: "A batch that takes more jobs ends once those it has have ended",
    file: batches,
    find: "continue when v_job.finished_at is not null or (v_job.policy -> 'batch' ->> 'open')::boolean;",
    replace: "continue when v_job.finished_at is not null;",
    tests: ["tests/sql/batches.test.ts"],
  },
  {
    name: "batches-forget-the-cancelled",
    breaks: "A batch with a cancelled job succeeds",
    file: batches,
    find: "v_counts -> 'succeeded' = v_counts -> 'jobs' then",
    replace: "(v_counts ->> 'failed')::integer = 0 then",
    tests: ["tests/sql/batches.test.ts"],
  },
  {
    name: "hard-keys-leave-who-is-away",
    breaks: "A job of a hard key goes elsewhere while the worker of its key is away",
    file: affinity,
    find: "where c.worker_id = v_record.worker_id and c.class_id = v_job.class_id;",
    replace:
      "where c.worker_id = v_record.worker_id and c.class_id = v_job.class_id and exists (\n          select from muster.worker_devices w where w.id = c.worker_id and w.status = 'online');",
    tests: ["tests/sql/affinity.test.ts", "tests/chaos/affinity-keeps-its-word.test.ts"],
  },
  {
    name: "cordon-keeps-what-was-meant-for-it",
    breaks: "Jobs that were queued for a worker stay with it when it is cordoned",
    file: placing,
    find: "\n    or new.cordoned_at is not null and old.cordoned_at is null)",
    replace: ")",
    tests: ["tests/sql/cordon_worker.test.ts", "tests/sql/affinity.test.ts"],
  },
  {
    name: "evicted-resources-are-held",
    breaks: "What a worker has released it still holds",
    file: named,
    find: "and h.name in (select n #>> '{}' from jsonb_array_elements(release_resources.names) n)",
    replace: "and false",
    tests: ["tests/sql/resources.test.ts"],
  },
  {
    name: "rebind-leaves-the-job-where-it-runs",
    breaks: "A job that an operator gives to another worker goes on at the one that holds it",
    file: rebind,
    find: "and v_worker.id is not null and v_worker.id <> v_job.worker_id then",
    replace: "and false then",
    tests: ["tests/sql/rebind_job.test.ts"],
  },
  {
    name: "weights-do-not-count",
    breaks: "A flow of weight 2 has as many turns as one of weight 1",
    file: fairness,
    find: "then j.fairness_weight end as weight",
    replace: "then 1::smallint end as weight",
    tests: ["tests/sql/fairness.test.ts"],
  },
  {
    name: "a-flood-has-the-first-turn",
    breaks: "A flow is ranked behind the head of its lane, not behind what it has there",
    file: fairness,
    find: "    v_start := greatest(v_head, muster_private.last_of_flow(",
    replace: "    v_start := least(v_head, muster_private.last_of_flow(",
    tests: ["tests/sql/fairness.test.ts"],
  },
  {
    name: "nothing-ages",
    breaks: "A job of low priority waits for as long as others come",
    file: sweeps,
    find: "where p <= j.priority + floor(extract(epoch from raise_heads.at - h.queued_at) / 30)) as priority",
    replace: "where p <= j.priority) as priority",
    tests: ["tests/sql/aging.test.ts"],
  },
  {
    name: "aging-is-twice-as-fast",
    breaks: "Waiting gives two points of priority for each 30 s",
    file: sweeps,
    find: "where p <= j.priority + floor(extract(epoch from raise_heads.at - h.queued_at) / 30)) as priority",
    replace: "where p <= j.priority + floor(extract(epoch from raise_heads.at - h.queued_at) / 15)) as priority",
    tests: ["tests/sql/aging.test.ts"],
  },
  {
    name: "linear-backoff-doubles",
    breaks: "A linear pause grows as an exponential one",
    file: retry,
    find: "when 'linear' then retry_delay.failures\n",
    replace: "",
    tests: ["tests/sql/retry-policy.test.ts"],
  },
  {
    name: "pauses-have-no-cap",
    breaks: "A pause grows beyond retry_cap",
    file: retry,
    find: "else least(retry_delay.cap, retry_delay.base",
    replace: "else least('1 day', retry_delay.base",
    tests: ["tests/sql/retry-policy.test.ts"],
  },
  {
    name: "final-errors-are-whole",
    breaks: "A final error that names the beginning of some fits none of them",
    file: retry,
    find: "or (f.pattern like '%.*' and",
    replace: "or (false and",
    tests: ["tests/sql/retry-policy.test.ts"],
  },
  {
    name: "letters-are-replayed-twice",
    breaks: "A dead letter that was replayed is replayed again when it is named",
    file: deadLetters,
    find:
      "and (l.failed_at, l.job_id) > (v_after.before_at, v_after.before_id)\n        and l.replayed_as is null and l.dismissed_at is null\n      order by l.failed_at, l.job_id limit v_most\n      for no key update);",
    replace:
      "and (l.failed_at, l.job_id) > (v_after.before_at, v_after.before_id)\n      order by l.failed_at, l.job_id limit v_most\n      for no key update);",
    tests: ["tests/sql/dead_letters.test.ts"],
  },
  {
    name: "cron-needs-both-days",
    breaks: "A cron expression with a day and a weekday runs only where both are met",
    file: cron,
    find: "then v_is_day and v_is_weekday else v_is_day or v_is_weekday end;",
    replace: "then v_is_day and v_is_weekday else v_is_day and v_is_weekday end;",
    tests: ["tests/sql/cron_run.test.ts"],
  },
  {
    name: "clocks-put-back-run-twice",
    breaks: "A fixed time that the clocks show twice runs twice",
    file: cron,
    find: "    elsif not cron.is_interval then\n      v_instants := v_instants[:1];",
    replace: "    elsif not cron.is_interval then\n      v_instants := v_instants;",
    tests: ["tests/sql/cron_run.test.ts"],
  },
  {
    name: "missed-runs-are-made-none-the-less",
    breaks: "A schedule that makes up for none makes up for the last",
    file: runs,
    find: "if schedule.catch_up = 'none' and",
    replace: "if false and",
    tests: ["tests/sql/run_schedules.test.ts"],
  },
  {
    name: "runs-overlap",
    breaks: "A schedule that skips runs while its last job goes on",
    file: runs,
    find: "when schedule.overlap = 'skip' and v_is_running then 'overlap' end;",
    replace: "when false then 'overlap' end;",
    tests: ["tests/sql/run_schedules.test.ts"],
  },
  {
    name: "inserted-rows-are-believed",
    breaks: "A row inserted under a key that is known is an error, rather than left out",
    file: inserted,
    find: "where j.tenant_id = new.tenant_id and j.idempotency_key = new.idempotency_key) then\n    return null;",
    replace: "where j.tenant_id = new.tenant_id and j.idempotency_key = new.idempotency_key) then\n    null;",
    tests: ["tests/sql/inserted_jobs.test.ts"],
  },
  {
    name: "one-bad-message-spoils-all",
    breaks: "A message that cannot be a job keeps those sent with it from becoming some",
    file: bridge,
    find: "exception when sqlstate 'MU004' or sqlstate 'MU005' or sqlstate 'MU015' then\n    perform",
    replace: "exception when sqlstate 'MU099' then\n    perform",
    tests: ["tests/sql/bridge_queue.test.ts"],
  },
  {
    name: "explain-forgets-who-is-before",
    breaks: "An explanation says that a key has room which others wait for",
    file: explainGates,
    find: "else v_limit - v_admitted - v_before < 1 end;",
    replace: "else v_limit - v_admitted < 1 end;",
    tests: ["tests/sql/explain-agrees.test.ts", "tests/sql/explain.test.ts"],
  },
];
