import type postgres from "postgres";
import { sleep } from "../../../../shared/sleep.ts";
import type { CreateSchedule } from "../../../../shared/contracts/schedules.ts";
import { Queue } from "../../../support/pgmq.ts";
import type { Random } from "../../../support/random.ts";
import { Journal } from "../journal.ts";
import type { WorkPlan } from "../work-plan.ts";
import { untilAnswered } from "./until-answered.ts";

export interface OutsideOptions {
  readonly url: string;
  readonly secretKey: string;
  readonly apiKey: string;
  readonly journal: string;
  readonly tenant: string;
  readonly tenantId: string;
  readonly random: Random;
  /** As the project's `postgres`, and as a superuser. */
  readonly sql: postgres.Sql;
  readonly adminSql: postgres.Sql;
  /** Fires when it must not wait for answers any more. */
  readonly signal: AbortSignal;
}

/** A schedule of the campaign; its runs are due from that time on. */
export interface CampaignSchedule {
  readonly id: string;
  readonly name: string;
  readonly cron: string;
  readonly overlap: "allow" | "skip" | "replace";
  readonly catchUp: "none" | "last" | "all";
  readonly fromMs: number;
}

const schedules: readonly Pick<CreateSchedule, "name" | "cron" | "overlap" | "catchUp" | "jitterSeconds">[] = [
  { name: "every minute, all", cron: "* * * * *", overlap: "allow", catchUp: "all" },
  { name: "every minute, unless it runs", cron: "* * * * *", overlap: "skip", catchUp: "last" },
  { name: "every minute, in its place", cron: "* * * * *", overlap: "replace", catchUp: "last", jitterSeconds: 5 },
  { name: "every hour, if not missed", cron: "0 * * * *", overlap: "allow", catchUp: "none" },
];

export const queueName = "campaign";

/** What makes jobs without an app: rows inserted by the service role, messages of a bridged queue, and schedules. */
export class Outside implements Disposable {
  readonly #options: OutsideOptions;
  readonly #journal: Journal;
  #queue: Queue | undefined;
  schedules: CampaignSchedule[] = [];
  #count = 0;

  constructor(options: OutsideOptions) {
    this.#options = options;
    this.#journal = new Journal(options.journal);
  }

  /** Bridges a queue and makes schedules, as if the project had been away for their last runs. */
  async setUp(): Promise<void> {
    const { sql, adminSql, tenantId, tenant } = this.#options;
    this.#queue = await Queue.create(sql, queueName);
    const options = { ...this.#job(), tenant_id: tenantId };
    await sql`select muster.bridge_queue(${queueName}, 'campaign.work', ${JSON.stringify(options)}::text::jsonb)`;
    for (const { name, cron, overlap = "allow", catchUp = "last", ...more } of schedules) {
      const payload = { tenant, key: name, plan: quick(overlap === "allow" ? 100 : 4_000) };
      const job = { type: "campaign.work", requires: ["compute/campaign"], maxAttempts: 15, retryBaseSeconds: 0.2 };
      const { id } = await this.#api("/schedules", { name, cron, overlap, catchUp, ...more, job: { ...job, payload } });
      const away = cron.startsWith("*") ? "5 minutes" : "1 hour";
      const [row] = await adminSql<{ from: string }[]>`
        update muster.schedules set next_run_at = next_run_at - ${away}::interval where id = ${id}
        returning (extract(epoch from next_run_at) * 1000)::bigint::text as from`;
      this.schedules.push({ id, name, cron, overlap, catchUp, fromMs: Number(row!.from) });
    }
  }

  /** Inserts rows and sends messages until the signal fires; then no schedule runs any more. */
  async run(until: AbortSignal): Promise<void> {
    const { random, signal } = this.#options;
    await this.#send();
    while (!until.aborted) {
      await (random.chance(0.5) ? this.#insert() : this.#send());
      await sleep(random.between(500, 2_000), until);
    }
    for (const { id } of this.schedules) {
      await untilAnswered(() => this.#api(`/schedules/${id}/pause`, {}), signal);
    }
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
  }

  #say(entry: object): void {
    this.#journal.write({ app: "outside", tenant: this.#options.tenant, ...entry });
  }

  /** A row whose key is known is left out, so that asking again does nothing. */
  async #insert(): Promise<void> {
    const { random, tenant, tenantId, signal } = this.#options;
    const keys = Array.from({ length: random.between(1, 3) }, () => `${tenant}-inserted-${this.#count++}`);
    for (const key of keys) this.#say({ did: "ask", key, policies: ["inserted row"] });
    const rows = keys.map((key) => ({
      ...{ tenant_id: tenantId, type: "campaign.work", idempotency_key: key, requires: ["compute/campaign"] },
      ...{ max_attempts: 15, retry_base: "0.2 seconds", retry_cap: "3 seconds" },
      payload: { tenant, key, plan: quick(random.between(0, 300)) },
    }));
    const made = await untilAnswered(() => this.#rest("POST", "", rows), signal);
    const known = await untilAnswered(
      () => this.#rest("GET", `?tenant_id=eq.${tenantId}&idempotency_key=in.(${keys.join(",")})`),
      signal,
    );
    for (const key of keys) {
      const of = (rows: readonly Row[]) => rows.find((row) => row.idempotency_key === key)?.id;
      this.#say({ did: "submit", key, job: of(made) ?? of(known), created: of(made) !== undefined });
    }
  }

  /** A message that may or may not have been sent is not sent again. */
  async #send(): Promise<void> {
    const { random, tenant } = this.#options;
    const keys = Array.from({ length: random.between(1, 3) }, () => `${tenant}-message-${this.#count++}`);
    for (const key of keys) this.#say({ did: "post", key });
    try {
      await this.#queue!.send(...keys.map((key) => ({ tenant, key, plan: quick(random.between(0, 300)) })));
      for (const key of keys) this.#say({ did: "sent", key });
    } catch {
      // Postgres went down meanwhile.
    }
  }

  #job(): object {
    return { requires: ["compute/campaign"], max_attempts: 15, retry_base_seconds: 0.2, retry_cap_seconds: 3 };
  }

  async #api(path: string, json: unknown): Promise<{ id: string }> {
    return await this.#fetch(`/functions/v1${path}`, "POST", { authorization: `Bearer ${this.#options.apiKey}` }, json);
  }

  async #rest(method: string, query: string, json?: unknown): Promise<Row[]> {
    const { secretKey } = this.#options;
    const headers = {
      ...{ apikey: secretKey, authorization: `Bearer ${secretKey}`, prefer: "return=representation" },
      ...{ "content-profile": "muster", "accept-profile": "muster" },
    };
    return await this.#fetch(`/rest/v1/jobs${query}`, method, headers, json);
  }

  async #fetch<T>(path: string, method: string, headers: Record<string, string>, json?: unknown): Promise<T> {
    const response = await fetch(this.#options.url + path, {
      method,
      headers: { "content-type": "application/json", ...headers },
      ...(json === undefined ? {} : { body: JSON.stringify(json) }),
      signal: AbortSignal.timeout(15_000),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return JSON.parse(text);
  }
}

interface Row {
  readonly id: string;
  readonly idempotency_key: string;
}

/** Work that succeeds at the first try. */
function quick(milliseconds: number): WorkPlan {
  return {
    ...{ milliseconds, reportEveryMs: 200, failures: 0, failsFinally: false, ignoresAbort: false, resultBytes: 10 },
    ...{ failsWith: null, holds: null, evicts: false },
  };
}
