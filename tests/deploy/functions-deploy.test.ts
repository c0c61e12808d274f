import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { functionsInConfig } from "../check/deployable.ts";
import { importGraph } from "../check/import-graph.ts";
import { bundleSize } from "./bundle-size.ts";
import { deployFunctions } from "./deploy-functions.ts";
import { type DeployedFunction, startManagementApi } from "./management-api.ts";
import { copyProject, type ProjectCopy } from "./project-copy.ts";

const packages = fileURLToPath(new URL("../../node_modules", import.meta.url));
const largestBundle = 5 * 1024 * 1024;

Deno.test("functions deploy sends every function of config.toml, whole, open to its own authentication", async (test) => {
  await using project = await copyProject();
  await using api = startManagementApi();
  const declared = functionsInConfig(await Deno.readTextFile(join(project.root, "supabase/config.toml")));

  const { code, stderr } = await deployFunctions(project, api);
  assert.equal(code, 0, stderr);
  assert.deepEqual([...api.deployed.keys()].sort(), [...declared.keys()].sort());

  for (const [slug, deployed] of api.deployed) {
    await test.step(`${slug} has its entrypoint, its import map and no check of tokens before it`, () => {
      assert.equal(deployed.metadata.entrypoint_path, declared.get(slug));
      assert.equal(deployed.metadata.import_map_path, "deno.json");
      assert.equal(deployed.metadata.verify_jwt, false);
    });
    await test.step(`${slug} takes its own files and shared ones along, and no tests`, () => {
      const strange = [...deployed.files.keys()].filter((file) =>
        file !== "deno.json" &&
        (!/^(functions|shared)\//.test(file) || file.endsWith(".test.ts") ||
          (file.startsWith("functions/") && !file.startsWith(`functions/${slug}/`)))
      );
      assert.deepEqual(strange, []);
    });
    // That the same files fit each other's types is known from `npm run check`.
    await test.step(`${slug} is complete: what was sent imports nothing else`, async () => {
      await using sent = await unpack(deployed);
      const entrypoint = deployed.metadata.entrypoint_path;
      assert.deepEqual(await notSent(sent.root, entrypoint, deployed.files), []);
      const lost = [...deployed.files.keys()].find((file) => file.startsWith("shared/"))!;
      const rest = new Map([...deployed.files].filter(([file]) => file !== lost));
      assert.match((await notSent(sent.root, entrypoint, rest)).join(), new RegExp(lost));
    });
    await test.step(`${slug} stays under the platform's limit`, async () => {
      await using sent = await unpack(deployed);
      const size = await bundleSize(sent.root, deployed.metadata.entrypoint_path);
      assert.ok(size > 10_000, `${slug} cannot be as small as ${size} bytes with its packages`);
      assert.ok(size < largestBundle, `${slug} has ${size} bytes, allowed are ${largestBundle}`);
    });
  }
});

Deno.test("functions deploy again makes the next version of the same functions", async () => {
  await using project = await copyProject();
  await using api = startManagementApi();
  assert.equal((await deployFunctions(project, api)).code, 0);
  const before = new Map(api.deployed);
  assert.equal((await deployFunctions(project, api)).code, 0);
  for (const [slug, { id, version }] of api.deployed) {
    assert.deepEqual({ id, version }, { id: before.get(slug)?.id, version: 2 });
  }
});

Deno.test("functions deploy of one function leaves the others alone", async () => {
  await using project = await copyProject();
  await using api = startManagementApi();
  assert.equal((await deployFunctions(project, api, "jobs")).code, 0);
  assert.deepEqual([...api.deployed.keys()], ["jobs"]);
});

Deno.test("functions deploy with a wrong token deploys nothing and says so", async () => {
  await using project = await copyProject();
  await using api = startManagementApi();
  const { code, stderr } = await deployFunctions(project, { ...api, accessToken: `sbp_${"f".repeat(40)}` });
  assert.notEqual(code, 0);
  assert.match(stderr, /401|Unauthorized/);
  assert.equal(api.deployed.size, 0);
});

/** The imports that lead neither to a file that was sent nor to a package of the import map that was sent. */
async function notSent(root: string, entrypoint: string, files: DeployedFunction["files"]): Promise<string[]> {
  const { imports } = JSON.parse(new TextDecoder().decode(files.get("deno.json")));
  const isPackage = (specifier: string) =>
    specifier.startsWith("node:") ||
    Object.keys(imports).some((name) => name.endsWith("/") ? specifier.startsWith(name) : specifier === name);
  return (await importGraph(root, [entrypoint]))
    .filter(({ specifier, to }) => to === undefined ? !isPackage(specifier) : !files.has(to))
    .map(({ from, line, specifier, to }) => `${from}:${line} imports ${to ?? specifier}`);
}

/** Writes an upload to a folder of its own, with the packages in reach. */
async function unpack({ files }: DeployedFunction): Promise<ProjectCopy> {
  const root = await Deno.realPath(await Deno.makeTempDir({ prefix: "muster-sent-" }));
  for (const [file, bytes] of files) {
    await Deno.mkdir(dirname(join(root, file)), { recursive: true });
    await Deno.writeFile(join(root, file), bytes);
  }
  await Deno.symlink(packages, join(root, "node_modules"), { type: Deno.build.os === "windows" ? "junction" : "dir" });
  return { root, [Symbol.asyncDispose]: () => Deno.remove(root, { recursive: true }) };
}
