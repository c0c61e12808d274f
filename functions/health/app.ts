import { createRoute } from "@hono/zod-openapi";
import type { ArtifactStore } from "../../shared/artifact-store.ts";
import { Health } from "../../shared/contracts/health.ts";
import type { HealthDb } from "../../shared/db/health.ts";
import { createApi } from "../../shared/http/api.ts";
import type { Log } from "../../shared/http/log.ts";
import { json, problems } from "../../shared/http/responses.ts";

export interface Deps {
  readonly db: HealthDb;
  readonly store: Pick<ArtifactStore, "check">;
  readonly log: Log;
  readonly now?: () => number;
}

/** A sweep comes every few seconds, or each minute where cron knows no seconds; two missed minutes are a fault. */
const tickLateSeconds = 120;

/** Builds the health API over the given dependencies; it reads no environment and asks nobody who they are. */
export function createApp({ db, store, log, now = Date.now }: Deps) {
  const app = createApi({ name: "health", title: "Muster: health", log });

  return app.openapi(getHealth, async (c) => {
    const [database, storage] = await Promise.allSettled([db.health(), store.check()]);
    for (const result of [database, storage]) {
      if (result.status === "rejected") c.var.log("warn", "health.failed", { message: String(result.reason) });
    }
    const seen = database.status === "fulfilled" ? database.value : null;
    const tickOk = seen !== null && seen.tickAgeSeconds !== null && seen.tickAgeSeconds <= tickLateSeconds;
    const checks = {
      database: { status: okOrFailed(seen !== null) },
      storage: { status: okOrFailed(storage.status === "fulfilled") },
      realtime: {
        status: okOrFailed(seen?.realtime.partitionToday === true),
        partitionToday: seen?.realtime.partitionToday ?? null,
      },
      tick: {
        status: okOrFailed(tickOk),
        lastTickAt: seen?.lastTickAt ?? null,
        ageSeconds: seen?.tickAgeSeconds ?? null,
      },
    };
    const healthy = Object.values(checks).every(({ status }) => status === "ok");
    return c.json({
      status: healthy ? "ok" as const : "degraded" as const,
      checks,
      onlineWorkers: seen?.onlineWorkers ?? null,
      queuedJobs: seen?.queuedJobs ?? null,
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
  tags: ["health"],
  responses: { 200: json(Health, "The parts and their state, also when some of them fail"), ...problems },
});
