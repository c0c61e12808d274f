import assert from "node:assert/strict";
import { basename, dirname } from "node:path";
import { hashOf, type Manifest } from "../../install/manifest.ts";
import { runInstall, TestProject } from "./project.ts";

const manifestFile = "supabase/muster/manifest.json";
const ownFiles = {
  "supabase/migrations/20990101000000_ours.sql": "create table public.ours (id int primary key);\n",
  "supabase/functions/hello/index.ts": `Deno.serve(() => new Response("hello"));\n`,
  "supabase/functions/_shared/greeting.ts": `export const greeting = "hello";\n`,
  "README.md": "ours\n",
};

Deno.test("install:project puts Muster into a fresh project, and --remove leaves it as it was", async () => {
  await using project = await TestProject.create();
  const before = await project.files();

  const { code, said } = await project.install();
  assert.equal(code, 0, said);
  assert.match(said, /add {5}supabase\/muster\/functions\/jobs\/index\.ts/);
  const after = await project.files();
  const strange = Object.keys(after).filter((path) =>
    before[path] !== after[path] &&
    !/^supabase\/(muster\/|migrations\/\d{14}_muster_[a-z_]+\.sql$|config\.toml$)/.test(path)
  );
  assert.deepEqual(strange, []);
  assert.deepEqual(Object.keys(after).filter((path) => path.endsWith(".test.ts")), []);
  assert.match(after["supabase/config.toml"]!, /^schemas = \["public", "graphql_public", "muster"\]$/m);

  const again = await project.install();
  assert.equal(again.code, 0, again.said);
  assert.match(again.said, /^Nothing to do/);
  assert.deepEqual(await project.files(), after);

  assert.equal((await project.install("--remove")).code, 0);
  assert.deepEqual(await project.files(), before);
});

Deno.test("install:project leaves what a project has as it is, with Windows line ends, too", async () => {
  await using project = await TestProject.create(ownFiles);
  const config = "# ours\r\n" + (await project.read("supabase/config.toml")).replaceAll("\n", "\r\n") +
    "[functions.hello]\r\nverify_jwt = true";
  await project.write("supabase/config.toml", config);
  const before = await project.files();

  assert.equal((await project.install()).code, 0);
  const after = await project.files();
  for (const path of Object.keys(ownFiles)) assert.equal(after[path], before[path]);
  assert.doesNotMatch(after["supabase/config.toml"]!.replaceAll("\r\n", ""), /\n/);
  assert.match((await project.install()).said, /^Nothing to do/);

  assert.equal((await project.install("--remove")).code, 0);
  assert.deepEqual(await project.files(), before);
});

Deno.test("install:project --dry-run says what it would do and does nothing", async () => {
  await using project = await TestProject.create();
  const before = await project.files();
  const { code, said } = await project.install("--dry-run");
  assert.equal(code, 0);
  assert.match(said, /add {5}supabase\/muster\/deno\.json[^]*change {2}supabase\/config\.toml[^]*dry run/);
  assert.deepEqual(await project.files(), before);
});

Deno.test("install:project finds a folder from where npm was started", async () => {
  await using project = await TestProject.create();
  const { code, said } = await runInstall([basename(project.root), "--dry-run"], dirname(project.root));
  assert.equal(code, 0, said);
});

Deno.test("install:project stops at names that are taken, and lists all of them", async () => {
  await using project = await TestProject.create({
    "supabase/functions/jobs/index.ts": "// ours\n",
    "supabase/migrations/20261121000100_ours.sql": "select 1;\n",
    "supabase/muster/deno.json": "{}\n",
  });
  const config = await project.read("supabase/config.toml");
  await project.write("supabase/config.toml", `${config}\n[functions."workers"]\nverify_jwt = true\n`);
  const before = await project.files();
  for (const flags of [[], ["--force"]]) {
    const { code, said } = await project.install(...flags);
    assert.equal(code, 1, said);
    for (const taken of ["functions/jobs", "[functions.workers]", "20261121000100_ours.sql", "muster/deno.json"]) {
      assert.ok(said.includes(taken), said);
    }
    assert.deepEqual(await project.files(), before);
  }
});

Deno.test("install:project updates files that are as they were, removes those that are gone, and changes no other", async () => {
  await using project = await TestProject.create();
  assert.equal((await project.install()).code, 0);
  const current = await project.files();
  // What an earlier release would have left.
  const manifest = JSON.parse(current[manifestFile]!) as Manifest;
  const older = "// as it was in an earlier release\r\n";
  manifest.version = "0.0.9";
  manifest.files["muster/functions/jobs/app.ts"] = hashOf(older);
  manifest.files["muster/functions/gone/index.ts"] = hashOf(older);
  await project.write(manifestFile, JSON.stringify(manifest));
  await project.write("supabase/muster/functions/jobs/app.ts", older);
  await project.write("supabase/muster/functions/gone/index.ts", older);
  await Deno.remove(`${project.root}/supabase/muster/shared/errors.ts`);

  const { code, said } = await project.install();
  assert.equal(code, 0, said);
  assert.match(said, /^change {2}supabase\/muster\/functions\/jobs\/app\.ts$/m);
  assert.match(said, /^remove {2}supabase\/muster\/functions\/gone\/index\.ts$/m);
  assert.match(said, /^add {5}supabase\/muster\/shared\/errors\.ts$/m);
  assert.deepEqual(await project.files(), current);
});

Deno.test("install:project overwrites what was changed there with --force only", async () => {
  await using project = await TestProject.create();
  assert.equal((await project.install()).code, 0);
  const current = await project.files();
  await project.write("supabase/muster/functions/jobs/app.ts", "// changed here\n");
  const block = current["supabase/config.toml"]!.replace("verify_jwt = false", "verify_jwt = true");
  await project.write("supabase/config.toml", block);
  const changed = await project.files();

  for (const flags of [[], ["--remove"]]) {
    const { code, said } = await project.install(...flags);
    assert.equal(code, 1, said);
    assert.match(said, /--force[^]*muster\/functions\/jobs\/app\.ts[^]*marked section/);
    assert.deepEqual(await project.files(), changed);
  }
  assert.equal((await project.install("--force")).code, 0);
  assert.deepEqual(await project.files(), current);
});

Deno.test("install:project never changes a migration that is there, and says what to do", async () => {
  await using project = await TestProject.create();
  assert.equal((await project.install()).code, 0);
  const current = await project.files();
  const path = Object.keys(current).find((path) => path.endsWith("_muster_foundation.sql"))!;
  const manifest = JSON.parse(current[manifestFile]!) as Manifest;
  manifest.files[path.slice("supabase/".length)] = hashOf("select 1;\n");
  manifest.files["migrations/20200101000000_muster_gone.sql"] = hashOf("select 2;\n");
  await project.write(manifestFile, JSON.stringify(manifest));
  await project.write(path, "select 1;\n");
  await project.write("supabase/migrations/20200101000000_muster_gone.sql", "select 2;\n");
  const older = await project.files();

  const { code, said } = await project.install("--force");
  assert.equal(code, 1, said);
  assert.match(said, /remove\.sql[^]*_muster_foundation\.sql[^]*_muster_gone\.sql/);
  assert.deepEqual(await project.files(), older);
  assert.equal((await project.install("--remove")).code, 0);
  assert.equal((await project.install()).code, 0);
  assert.deepEqual(await project.files(), current);
});

Deno.test("install:project finishes an installation and a removal that were cut off", async () => {
  await using project = await TestProject.create();
  const before = await project.files();
  assert.equal((await project.install()).code, 0);
  const whole = await project.files();

  // Before the manifest was written, then before config.toml was.
  await Deno.remove(`${project.root}/supabase/muster/shared/errors.ts`);
  for (const cut of [[manifestFile, "supabase/config.toml"], ["supabase/config.toml"]]) {
    for (const path of cut) {
      if (path in before) await project.write(path, before[path]!);
      else await Deno.remove(`${project.root}/${path}`);
    }
    assert.equal((await project.install()).code, 0);
    assert.deepEqual(await project.files(), whole);
  }

  await project.write("supabase/config.toml", before["supabase/config.toml"]!);
  await Deno.remove(`${project.root}/supabase/muster/shared/errors.ts`);
  assert.equal((await project.install("--remove")).code, 0);
  assert.deepEqual(await project.files(), before);
});

Deno.test("install:project says what is wrong with a folder or an option", async () => {
  await using project = await TestProject.create();
  await using json = await TestProject.create({ "supabase/config.json": "{}" });
  await Deno.remove(`${json.root}/supabase/config.toml`);
  for (
    const [args, reason] of [
      [[], /name the folder/],
      [["/nowhere/at/all"], /supabase init/],
      [["."], /into itself/],
      [[json.root], /config\.json: only a project with a config\.toml/],
      [[project.root, "--remove"], /not installed there/],
      [[project.root, "--prefix", "x"], /prefix/],
    ] as const
  ) {
    const { code, said } = await runInstall([...args]);
    assert.equal(code, 2, said);
    assert.match(said, reason);
  }
  const help = await runInstall(["--help"]);
  assert.equal(help.code, 0);
  assert.match(help.said, /--dry-run[^]*--removal-sql/);
});
