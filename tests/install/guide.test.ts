import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join, resolve } from "node:path";
import process from "node:process";
import { startLocalStack } from "../../local/stack.ts";
import { until } from "../support/database.ts";
import { writeProfile } from "../deploy/deploy-functions.ts";
import { hostedEnvironment, type HostedProject } from "../deploy/hosted/environment.ts";
import { HostedFunctions } from "../deploy/hosted/hosted-functions.ts";
import { startManagementApi } from "../deploy/management-api.ts";
import { catalogOf } from "./catalog.ts";
import { shellBlocks } from "./guide-blocks.ts";
import { TestProject } from "./project.ts";

const repository = resolve(import.meta.dirname!, "../..");

/** What no stand-in answers: the stack here exposes schema muster from the start. */
const notRun = /^npx supabase config (diff|push) .*\n/gm;

const ownFiles = {
  "supabase/migrations/20990101000000_ours.sql": "create table public.ours (id int primary key);\n",
  "supabase/functions/hello/index.ts": `Deno.serve(() => new Response("hello"));\n`,
};

Deno.test({
  name: "the commands of docs/guides/deploy.md bring a project to its first job, upgrade it, and take Muster out again",
  // They are a POSIX shell's.
  ignore: Deno.build.os === "windows",
  fn: async (test) => {
    const blocks = shellBlocks(await Deno.readTextFile(join(repository, "docs/guides/deploy.md")));
    await using project = await TestProject.create(ownFiles);
    const filesBefore = await project.files();
    await using exposed = await TestProject.create(ownFiles);
    const config = await exposed.read("supabase/config.toml");
    await exposed.write("supabase/config.toml", config.replace('"graphql_public"]', '"graphql_public", "muster"]'));

    await using api = startManagementApi();
    let hosted: HostedProject & { onPort: (port: number) => void } | undefined;
    await using stack = await startLocalStack({
      ephemeral: true,
      project: exposed.root,
      log: () => {},
      startFunctions: ({ url, dbUrl, keys, onPort }) => {
        hosted = { url, dbUrl, keys, onPort };
        return Promise.resolve({ pid: Deno.pid, stop: () => Promise.resolve() });
      },
    });
    const catalogBefore = await catalogOf(stack.adminDbUrl);
    await using running = new AsyncDisposableStack();
    await using home = await shell(stack.dbUrl, await writeProfile(exposed, api), api.accessToken);

    let worker: AsyncDisposable | undefined;
    const shown: Record<string, string> = {};
    const deployed = new Map<string, number>();
    for (const block of blocks) {
      const [title] = block.split("\n");
      const isDone = await test.step(title!, async () => {
        const script = block
          .replace(notRun, "")
          .replaceAll("https://<ref>.supabase.co", stack.url)
          .replaceAll("<ref>", api.projectRef)
          .replaceAll("<secret-key>", stack.secretKey)
          .replaceAll("<jwt-secret>", stack.jwtSecret)
          .replaceAll("../my-project", `"${project.root}"`)
          .replaceAll(/(mse|msk)_…/g, (_, kind) => shown[kind] ?? `no ${kind}_ was shown yet`);
        const cwd = script.includes("npm run") ? repository : project.root;

        if (script.startsWith("npm run worker")) {
          worker = running.use(await home.background(script, cwd, /online/i));
          return;
        }
        // The guide's words before it say so.
        if (script.includes("functions delete")) await worker?.[Symbol.asyncDispose]();
        const { code, said } = await home.run(script, cwd);
        assert.equal(code, 0, `${script}\n${said}`);
        for (const [secret, kind] of said.matchAll(/\b(mse|msk)_[\w-]{10,}/g)) shown[kind!] = secret;
        if (script.includes("supabase functions deploy")) {
          const functions = await HostedFunctions.create(new Map(api.deployed));
          running.use(functions);
          const { MUSTER_JWT_SECRET: _, MUSTER_MASTER_KEYS: __, ...ofPlatform } = hostedEnvironment(
            hosted!,
            "new keys",
          );
          await functions.start({ ...ofPlatform, ...Object.fromEntries(api.secrets) });
          hosted!.onPort(functions.port);
          for (const [slug, { version }] of api.deployed) deployed.set(slug, version);
        }
        if (script.includes('"calc.add"')) {
          const { id } = JSON.parse(said.slice(said.indexOf("{")));
          const headers = { authorization: `Bearer ${shown["msk"]}` };
          let job: { status?: string; result?: unknown } = {};
          await until(async () => {
            job = await (await fetch(`${stack.url}/functions/v1/jobs/${id}/wait`, { headers })).json();
            return job.status === "succeeded";
          }, "the first job is done");
          assert.deepEqual(job.result, { sum: 5 });
        }
      });
      if (!isDone) return;
    }

    await test.step("nothing of Muster is left, and everything else is there", async () => {
      assert.deepEqual(deployed.get("jobs"), 2, "the upgrade deployed again");
      assert.deepEqual([...api.deployed.keys()], ["hello"]);
      assert.deepEqual([...api.secrets.keys()], []);
      const { "muster.env": _, ...files } = await project.files();
      assert.deepEqual(files, filesBefore);
      const after = await catalogOf(stack.adminDbUrl);
      for (const [part, rows] of Object.entries(catalogBefore)) {
        if (part !== "schemas") assert.deepEqual(after[part], rows, part);
      }
    });
  },
});

/** A shell in which `npx supabase` reaches the stand-ins, with a home of its own. */
async function shell(dbUrl: string, profile: string, accessToken: string) {
  const home = await Deno.makeTempDir({ prefix: "muster-guide-" });
  const npx = [Deno.execPath(), "run", "-A", "--no-check", "--quiet", "--config", join(repository, "deno.json")];
  const command = [...npx, join(import.meta.dirname!, "guide-npx.ts")].map((word) => `'${word}'`).join(" ");
  await Deno.mkdir(join(home, "bin"));
  await Deno.writeTextFile(join(home, "bin/npx"), `#!/bin/sh\nexec ${command} "$@"\n`, { mode: 0o755 });
  const env = {
    ...Deno.env.toObject(),
    HOME: home,
    PATH: `${join(home, "bin")}:${Deno.env.get("PATH")}`,
    NO_COLOR: "1",
    SUPABASE_URL: "",
    SUPABASE_SECRET_KEY: "",
    GUIDE_DB_URL: dbUrl,
    GUIDE_PROFILE: profile,
    GUIDE_ACCESS_TOKEN: accessToken,
  };
  /** Starts a script in a group of its own, for npm does not pass on what ends it. */
  const start = (script: string, cwd: string) => {
    const child = spawn("sh", ["-eu", "-c", script], { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    const started = { child, said: "", ended: Promise.withResolvers<number>(), heard: () => {} };
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes) => {
        started.said += bytes;
        started.heard();
      });
    }
    child.on("close", (code) => started.ended.resolve(code ?? 1));
    return started;
  };
  return {
    async run(script: string, cwd: string): Promise<{ code: number; said: string }> {
      const started = start(script, cwd);
      return { code: await started.ended.promise, said: started.said };
    },
    /** Starts what does not end, waits for the sign that it is well, and ends it with its handle. */
    async background(script: string, cwd: string, sign: RegExp): Promise<AsyncDisposable> {
      const started = start(script, cwd);
      await new Promise<void>((resolve, reject) => {
        started.heard = () => sign.test(started.said) && resolve();
        started.ended.promise.then(() => reject(new Error(`It ended:\n${started.said}`)));
      });
      return {
        async [Symbol.asyncDispose]() {
          const { exitCode, signalCode } = started.child;
          if (exitCode === null && signalCode === null) process.kill(-started.child.pid!, "SIGTERM");
          await started.ended.promise;
        },
      };
    },
    [Symbol.asyncDispose]: () => Deno.remove(home, { recursive: true }),
  };
}
