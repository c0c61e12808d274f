import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { startLocalStack } from "../../../local/stack.ts";
import { createAdminDb } from "../../../shared/db/admin.ts";
import { createClients, createSqlCall } from "../../../shared/db/sql-call.ts";
import { MusterClient } from "../../../worker/index.ts";
import { functionsInConfig } from "../../check/deployable.ts";
import { allFiles } from "../../check/source-files.ts";
import { remoteFlag } from "../database.ts";
import { deployFunctions } from "../deploy-functions.ts";
import { generatedTypes, typesFile } from "../generated-types.ts";
import { startManagementApi } from "../management-api.ts";
import { copyProject, type ProjectCopy } from "../project-copy.ts";
import { supabaseOk } from "../supabase-cli.ts";
import { bundleSize } from "../bundle-size.ts";
import { hostedEnvironment, type HostedProject, type KeyNames, keyNames } from "./environment.ts";
import { HostedFunctions } from "./hosted-functions.ts";
import { expectedOfPlanted, missingImports } from "./planted.ts";
import postgres from "postgres";

/** One line of the report. */
export interface Finding {
  readonly name: string;
  readonly ok: boolean;
  /** The figures when it is well, the reason when it is not. */
  readonly detail: string;
  readonly seconds: number;
}

/** What the platform allows. */
const mostBundleBytes = 5 * 2 ** 20;
const mostCpuMs = 2_000;
const mostMemoryMb = 256;

const repository = resolve(import.meta.dirname!, "../../..");
const plantedFile = join(import.meta.dirname!, "planted", "index.ts");

/**
 * Deploys this tree by the real CLI against stand-ins of the platform, runs what was uploaded as the platform would, and
 * lets it serve the demo's jobs. A check that fails ends those that need it; `report` hears of each as it ends. With the
 * keys of `briefWith` no machine of the demo is killed, which saves half a minute.
 */
export async function deployCheck(
  report: (finding: Finding) => void,
  { briefWith }: { briefWith?: KeyNames } = {},
): Promise<boolean> {
  let allOk = true;
  const check = async <Value>(name: string, run: () => Promise<{ detail: string; value?: Value }>) => {
    const began = performance.now();
    const seconds = () => (performance.now() - began) / 1000;
    try {
      const { detail, value } = await run();
      report({ name, ok: true, detail, seconds: seconds() });
      return value;
    } catch (error) {
      allOk = false;
      report({ name, ok: false, detail: error instanceof Error ? error.message : String(error), seconds: seconds() });
      return undefined;
    }
  };

  await using project = await copyProject();
  await using api = startManagementApi();
  const declared = functionsInConfig(await Deno.readTextFile(join(project.root, "supabase/config.toml")));
  await plant(project);

  await check("functions deploy", async () => {
    const { code, stdout, stderr } = await deployFunctions(project, api);
    assert.equal(code, 0, stdout + stderr);
    assert.deepEqual([...api.deployed.keys()].sort(), [...declared.keys(), "planted"].sort());
    const files = [...api.deployed.values()].reduce((sum, { files }) => sum + files.size, 0);
    return { detail: `${declared.size} functions: ${[...declared.keys()].join(", ")}; ${files} files` };
  });
  if (api.deployed.size === 0) return false;

  await using functions = await HostedFunctions.create(api.deployed);
  for (const [slug, { metadata }] of api.deployed) {
    if (slug === "planted") continue;
    await check(`bundle of ${slug}`, async () => {
      assert.deepEqual(await missingImports(functions.folderOf(slug), metadata.entrypoint_path), []);
      const bytes = await bundleSize(functions.folderOf(slug), metadata.entrypoint_path);
      assert.ok(bytes < mostBundleBytes, `${megabytes(bytes)}, allowed are ${megabytes(mostBundleBytes)}`);
      return { detail: `at most ${megabytes(bytes)}: its files and whole packages, compressed` };
    });
  }

  let hosted: HostedProject | undefined;
  const began = performance.now();
  await using stack = await startLocalStack({
    ephemeral: true,
    log: () => {},
    startFunctions: ({ url, dbUrl, keys, onPort }) => {
      hosted = { url, dbUrl, keys };
      onPort(functions.port);
      return Promise.resolve({ pid: Deno.pid, stop: () => Promise.resolve() });
    },
  });
  await check("db push", async () => {
    const files = await allFiles(join(repository, "migrations"), [".sql"]);
    const sql = postgres(stack.dbUrl, { max: 1 });
    try {
      const applied = await sql`select version from supabase_migrations.schema_migrations order by version`;
      assert.deepEqual(applied.map(({ version }) => version), files.map((file) => file.split("_")[0]));
    } finally {
      await sql.end();
    }
    const { stdout } = await supabaseOk(project.root, ["db", "push", "--dry-run", "--yes", remoteFlag(stack.dbUrl)]);
    assert.match(stdout, /up to date/);
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    return { detail: `${files.length} migrations into an empty project, which started with them in ${seconds} s` };
  });
  await check("gen types", async () => {
    const types = await generatedTypes(project, stack.dbUrl);
    const stored = await Deno.readTextFile(join(repository, typesFile)).catch(() => "");
    assert.ok(
      stored.replaceAll("\r\n", "\n") === types,
      `${typesFile} is out of date: npm run deploy:check -- --write-types`,
    );
    return { detail: `${typesFile} is what the database says` };
  });

  for (const names of keyNames) {
    const isStarted = await check(`start with ${names}`, async () => {
      const times = await functions.start(hostedEnvironment(hosted!, names));
      times.delete("planted");
      return { detail: [...times].map(([slug, ms]) => `${slug} ${ms.toFixed(0)} ms`).join(", "), value: true };
    });
    if (!isStarted) continue;
    if (names === "new keys") {
      await check("hosted runtime", async () => {
        const outcomes = await (await fetch(`${stack.url}/functions/v1/planted`)).json();
        expectedOfPlanted(outcomes);
        assert.equal((await missingImports(functions.folderOf("planted"), "functions/planted/index.ts")).length, 1);
        const page = await fetch(`${stack.url}/functions/v1/planted/page`);
        assert.equal(page.headers.get("content-type"), "text/plain");
        await page.body?.cancel();
        const refused = Object.values(outcomes).filter((outcome) => outcome !== "done").length;
        return { detail: `a planted function is refused ${refused} things, and its HTML becomes plain text` };
      });
    }
    await check(`health with ${names}`, async () => {
      const answer = await fetch(`${stack.url}/functions/v1/health`);
      const text = await answer.text();
      assert.equal(answer.status, 200, text);
      return { detail: text.slice(0, 120) };
    });
    await check(`1,000 jobs in one request with ${names}`, async () => {
      const { cpuMs, ms } = await submitThousand(stack, functions);
      assert.ok(cpuMs < mostCpuMs, `${cpuMs} ms of CPU, allowed are ${mostCpuMs}`);
      return { detail: `${cpuMs.toFixed(0)} ms of CPU, ${ms.toFixed(0)} ms in all` };
    });
    await check(`the demo with ${names}`, async () => {
      return { detail: await runDemo(stack, names === briefWith ? ["--brief"] : []) };
    });
    await check(`CPU and memory with ${names}`, () => {
      const dear = [...functions.usage].filter(([, { cpuMs, memoryMb }]) =>
        cpuMs > mostCpuMs || memoryMb > mostMemoryMb
      );
      assert.deepEqual(dear, []);
      const lines = [...functions.usage].filter(([slug]) => slug !== "planted").map(([slug, of]) =>
        `${slug} ${of.requests} requests, at most ${of.cpuMs.toFixed(0)} ms and ${of.memoryMb.toFixed(0)} MB`
      );
      return Promise.resolve({ detail: lines.join("; ") });
    });
  }
  if (!allOk && functions.lastWords !== "") console.error(functions.lastWords);
  return allOk;
}

/** Adds the function that tries what is forbidden, so that it goes the way the others go. */
async function plant(project: ProjectCopy): Promise<void> {
  await Deno.mkdir(join(project.root, "functions/planted"));
  await Deno.copyFile(plantedFile, join(project.root, "functions/planted/index.ts"));
  const section = '\n[functions.planted]\nverify_jwt = false\nentrypoint = "../functions/planted/index.ts"\n' +
    'import_map = "../deno.json"\n';
  await Deno.writeTextFile(join(project.root, "supabase/config.toml"), section, { append: true });
}

async function submitThousand(
  stack: { url: string; secretKey: string; publishableKey: string },
  functions: HostedFunctions,
): Promise<{ cpuMs: number; ms: number }> {
  const admin = createAdminDb(createSqlCall(createClients(stack)));
  const tenant = await admin.createTenant(`deploy check ${crypto.randomUUID()}`);
  const { apiKey } = await admin.createApiKey({ tenantId: tenant.id, executorName: "check", expiresAt: null });
  const app = new MusterClient({ url: stack.url, apiKey });
  const payload = { text: "x".repeat(200) };
  const began = performance.now();
  await app.submitMany(Array.from({ length: 1000 }, () => ({ type: "calc.add", payload, requires: ["compute/none"] })));
  return { cpuMs: functions.usage.get("jobs")!.cpuMs, ms: performance.now() - began };
}

/** Runs `npm run demo -- --project`; answers its last line. */
async function runDemo(stack: { url: string; secretKey: string }, flags: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", join(repository, "demo/main.ts"), "--project", ...flags],
    env: { SUPABASE_URL: stack.url, SUPABASE_SECRET_KEY: stack.secretKey, NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const [said, complaints] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes).trim());
  assert.equal(code, 0, `${said}\n${complaints}`);
  return said!.split("\n").at(-1)!;
}

function megabytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(2)} MB`;
}
