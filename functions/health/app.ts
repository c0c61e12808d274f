import { createRoute } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { ArtifactStore } from "../../shared/artifact-store.ts";
import { Health, type Load } from "../../shared/contracts/health.ts";
import type { HealthDb } from "../../shared/db/health.ts";
import { MusterError } from "../../shared/errors.ts";
import { createApi } from "../../shared/http/api.ts";
import type { FindCaller } from "../../shared/http/authenticate.ts";
import type { Env } from "../../shared/http/env.ts";
import type { Log } from "../../shared/http/log.ts";
import { alsoFails, json, problems } from "../../shared/http/responses.ts";
import { callers } from "../../shared/http/security.ts";

export interface Deps {
  readonly db: HealthDb;
  readonly store: Pick<ArtifactStore, "check">;
  readonly findCaller: FindCaller;
  readonly log: Log;
  readonly now?: () => number;
}

/** A sweep comes every few seconds, or each minute where cron knows no seconds; two missed minutes are a fault. */
const tickLateSeconds = 120;

/** Builds the health API over the given dependencies; it reads no environment, and answers anybody. */
export function createApp({ db, store, findCaller, log, now = Date.now }: Deps) {
  const loadFor = async (c: Context<Env>): Promise<Load | null> => {
    try {
      return await db.getLoad(await findCaller(c));
    } catch (error) {
      if (error instanceof MusterError && error.status < 500) return null;
      throw error;
    }
  };

  const app = createApi({ name: "health", title: "Muster: health", log });

  return app.openapi(getHealth, async (c) => {
    const [database, storage, load] = await Promise.allSettled([db.health(), store.check(), loadFor(c)]);
    for (const result of [database, storage, load]) {
      if (result.status === "rejected") c.var.log("warn", "health.failed", { message: String(result.reason) });
    }
    const seen = database.status === "fulfilled" ? database.value : null;
    const tickOk = seen !== null && seen.tickAgeSeconds !== null && seen.tickAgeSeconds <= tickLateSeconds;
    const checks = {
      database: { status: okOrFailed(seen !== null) },
      storage: { status: okOrFailed(storage.status === "fulfilled") },
      // A message of a day without a partition has nowhere to be stored, and is not sent.
      realtime: { status: okOrFailed(seen?.realtime.partitionToday === true) },
      tick: { status: okOrFailed(tickOk), ageSeconds: seen?.tickAgeSeconds ?? null },
    };
    const healthy = Object.values(checks).every(({ status }) => status === "ok");
    return c.json({
      status: healthy ? "ok" as const : "degraded" as const,
      checks,
      load: load.status === "fulfilled" ? load.value : null,
      time: new Date(now()).toISOString(),
    }, 200);
  });
}

function okOrFailed(ok: boolean): "ok" | "failed" {
  return ok ? "ok" : "failed";
}

const getHealth = createRoute({
  method: "get",
  path: "/",
  operationId: "getHealth",
  summary: "How the parts of the control plane are",
  description:
    "Answers 200 whatever it finds; `status` says whether all is well. Who runs a tenant is told its load, too.",
  ...alsoFails(),
  tags: ["health"],
  security: [{}, ...callers],
  responses: { 200: json(Health, "The parts and their state, also when some of them fail"), ...problems },
});
