import { MusterClient } from "../../worker/index.ts";
import { project } from "../support/project.ts";
import { type Api, api, createApiKey, createEnrollmentToken, createTenant } from "../support/tenant.ts";
import { startWorker, testHandlers, type WorkerProcess, type WorkerProcessOptions } from "../support/worker-process.ts";

/** A tenant of the test's own: an app, and workers that are real processes. */
export interface World {
  readonly tenantId: string;
  /** An enrollment token for any number of workers. */
  readonly token: string;
  readonly app: MusterClient;
  /** The app's key on routes that the client does not cover. */
  readonly api: Api;
  /** Starts a worker that knows the test handlers. */
  readonly startWorker: (options?: WorkerProcessOptions) => Promise<WorkerProcess>;
}

export async function createWorld(): Promise<World> {
  const tenant = await createTenant("e2e");
  const [{ apiKey }, { enrollmentToken: token }] = await Promise.all([
    createApiKey(tenant.id),
    createEnrollmentToken(tenant.id),
  ]);
  return {
    tenantId: tenant.id,
    token,
    app: new MusterClient({ url: project.url, apiKey }),
    api: api(apiKey),
    startWorker: (options = {}) =>
      startWorker({ token, capabilities: ["compute/basic"], handlers: testHandlers, ...options }),
  };
}

/** Waits until the condition gives something; asks again every 50 ms, for 30 s. */
export async function until<T>(what: string, condition: () => Promise<T | undefined | false>): Promise<T> {
  const endsAt = performance.now() + 30_000;
  for (;;) {
    const found = await condition();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > endsAt) throw new Error(`Never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
