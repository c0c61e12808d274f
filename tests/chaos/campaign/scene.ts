import { join } from "node:path";
import postgres from "postgres";
import { lastingWithoutArrays } from "../../../local/lasting-sql.ts";
import type { LocalStack } from "../../../local/stack.ts";
import { type AdminDb, createAdminDb } from "../../../shared/db/admin.ts";
import { createClients, createSqlCall } from "../../../shared/db/sql-call.ts";
import { Random } from "../../support/random.ts";
import { App } from "./apps.ts";
import type { Roster } from "./auditor/evidence.ts";
import { LyingWorker } from "./lying-worker.ts";
import { kitOf } from "./mix/kits.ts";
import { Operator } from "./mix/operator.ts";
import { Outside } from "./mix/outside.ts";
import { Proxy } from "./proxy.ts";
import { CampaignWorker } from "./workers.ts";

/** The words that mark all data of a tenant. The apps of the first are hit and lied to; the second stands by. */
const tenantNames = ["tenant-red", "tenant-blue"] as const;
export interface SceneOptions {
  readonly seed: number;
  readonly workers: number;
  readonly folder: string;
  readonly signal: AbortSignal;
}

/** Who takes part. */
export interface Scene {
  readonly tenants: Roster["tenants"];
  readonly workers: readonly CampaignWorker[];
  readonly apps: readonly App[];
  readonly liar: LyingWorker;
  /** What makes jobs without an app, and who meddles; both in the first tenant. */
  readonly outside: Outside;
  readonly operator: Operator;
  readonly tellLiar: (own: () => readonly string[], foreign: () => readonly string[]) => void;
  readonly roster: () => Roster;
}

/** Makes tenants, apps, workers and the liar, each with a folder and a way to the project of its own. */
export async function setUp(
  { seed, workers: count, folder, signal }: SceneOptions,
  stack: LocalStack,
  looking: postgres.Sql,
  cleanup: AsyncDisposableStack,
): Promise<Scene> {
  const admin: AdminDb = createAdminDb(createSqlCall(createClients(stack)));
  const random = new Random(seed ^ 0x5eed);
  const ended = new AbortController();
  cleanup.defer(() => ended.abort(new Error("The campaign is over")));
  const proxyFor = () => cleanup.use(new Proxy({ target: new URL(stack.url), random: () => random.next() }));
  const folderFor = async (name: string) => {
    const path = join(folder, name);
    await Deno.mkdir(path, { recursive: true });
    return path;
  };

  const tenants: { tenant: string; tenantId: string; token: string }[] = [];
  const apps: App[] = [];
  for (const tenant of tenantNames) {
    const { id: tenantId } = await admin.createTenant(tenant);
    const { enrollmentToken: token } = await admin.createEnrollmentToken({
      ...{
        tenantId,
        name: "campaign",
        capabilities: null,
        labels: {},
        maxUses: null,
        expiresAt: null,
        ephemeral: false,
      },
    });
    tenants.push({ tenant, tenantId, token });
    for (const app of tenant === tenantNames[0] ? ["app-1", "app-2"] : ["bystander"]) {
      const { apiKey } = await admin.createApiKey({ tenantId, executorName: app, expiresAt: null });
      const settings = { name: app, tenant, apiKey, proxy: proxyFor(), folder: await folderFor(app) };
      apps.push(cleanup.use(new App(settings, AbortSignal.any([ended.signal, signal]))));
    }
  }
  const [red, blue] = tenants;
  const workers: CampaignWorker[] = [];
  for (let index = 1; index <= count; index += 1) {
    // One in six works for the bystander, and at least one.
    const { tenant, token } = index % 6 === 5 || (count < 5 && index === count) ? blue! : red!;
    const name = `worker-${index}`;
    const isFirst = workers.every((other) => other.settings.tenant !== tenant);
    const settings = { name, tenant, enrollmentToken: token, kit: kitOf(index, isFirst) };
    workers.push(cleanup.use(new CampaignWorker({ ...settings, folder: await folderFor(name), proxy: proxyFor() })));
  }
  let own: () => readonly string[] = () => [];
  let foreign: () => readonly string[] = () => [];
  const workerIds = (tenant: string) =>
    workers.filter(({ settings }) => settings.tenant === tenant).flatMap(({ workerId = [] }) => workerId);
  const liar = cleanup.use(
    new LyingWorker({
      ...{
        url: stack.url,
        publishableKey: stack.publishableKey,
        enrollmentToken: red!.token,
        slots: 2,
        tenant: red!.tenant,
      },
      ...{ folder: await folderFor("liar"), random },
      jobIds: () => own(),
      foreignJobIds: () => foreign(),
      foreignWorkerIds: () => workerIds(blue!.tenant),
    }),
  );
  const { apiKey } = await admin.createApiKey({
    ...{ tenantId: red!.tenantId, executorName: "operator", scopes: ["read", "submit", "operate"], expiresAt: null },
  });
  const until = AbortSignal.any([ended.signal, signal]);
  const journalOf = async (name: string) => join(await folderFor(name), "journal.jsonl");
  const sql = postgres(stack.dbUrl, { ...lastingWithoutArrays, max: 1, onnotice: () => {} });
  cleanup.defer(() => sql.end({ timeout: 1 }));
  const outside = cleanup.use(
    new Outside({
      ...{ url: stack.url, secretKey: stack.secretKey, apiKey, journal: await journalOf("outside"), signal: until },
      ...{ tenant: red!.tenant, tenantId: red!.tenantId, random: new Random(seed ^ 0x0075), sql, adminSql: looking },
    }),
  );
  const operator = cleanup.use(
    new Operator({
      ...{ url: stack.url, apiKey, journal: await journalOf("operator"), random: new Random(seed ^ 0x0be7) },
      ...{ workerIds: () => workerIds(red!.tenant), jobIds: () => own(), signal: until },
    }),
  );
  return {
    ...{ tenants, workers, apps, liar, outside, operator },
    tellLiar: (ownIds, foreignIds) => [own, foreign] = [ownIds, foreignIds],
    roster: () => ({
      tenants: tenants.map(({ tenant, tenantId }) => ({ tenant, tenantId })),
      apps: [
        ...apps.map(({ settings: { name, tenant, folder } }) => ({ name, tenant, folder })),
        { name: "outside", tenant: red!.tenant, folder: join(folder, "outside") },
      ],
      schedules: outside.schedules,
      operator: join(folder, "operator"),
      workers: [
        ...workers.map(({ workerId = "", settings: { name, tenant, kit: { slots, labels, resources }, folder } }) => ({
          ...{ name, workerId, tenant, slots, labels, resources, folder, lies: false },
        })),
        {
          ...{ name: "liar", workerId: liar.workerId ?? "", tenant: red!.tenant, slots: 2 },
          ...{ labels: {}, resources: {}, folder: join(folder, "liar"), lies: true },
        },
      ],
    }),
  };
}
