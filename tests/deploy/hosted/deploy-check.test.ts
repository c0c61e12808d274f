import assert from "node:assert/strict";
import { randomKeys } from "../../../local/keys.ts";
import type { DeployedFunction } from "../management-api.ts";
import { deployCheck, type Finding } from "./deploy-check.ts";
import { hostedEnvironment } from "./environment.ts";
import { HostedFunctions } from "./hosted-functions.ts";

Deno.test("what functions deploy uploads serves the demo's jobs as the platform would run it", async (test) => {
  const findings: Finding[] = [];
  await deployCheck((finding) => findings.push(finding), { briefWith: "legacy keys" });
  for (const { name, ok, detail } of findings) await test.step(name, () => assert.ok(ok, detail));
  assert.ok(findings.some(({ name }) => name === "the demo with legacy keys"), "The check ended early");
});

Deno.test("an upload that does at its start what the hosted runtime refuses does not start", async () => {
  const starts = async (code: string) => {
    const uploads = new Map([["bad", upload("bad", `${code}\nDeno.serve(() => new Response("served"));\n`)]]);
    await using functions = await HostedFunctions.create(uploads);
    const project = { url: "http://127.0.0.1:9", dbUrl: "postgres://127.0.0.1:9/none", keys: await randomKeys() };
    await functions.start(hostedEnvironment(project, "new keys"));
    return await (await fetch(`http://127.0.0.1:${functions.port}/bad`)).text();
  };
  assert.equal(await starts(""), "served");
  await assert.rejects(starts(`Deno.writeTextFileSync("/planted-by-a-test", "x");`), /bad does not start.*NotCapable/s);
  await assert.rejects(starts(`new Worker("data:,");`), /bad does not start.*Worker is not available/s);
  await assert.rejects(starts(`import "../../shared/gone.ts";`), /bad does not start.*not found/s);
  await assert.rejects(starts(`import "npm:hono@4.13.19";`), /bad does not start/s);
});

function upload(slug: string, code: string): DeployedFunction {
  const entrypoint = `functions/${slug}/index.ts`;
  const text = new TextEncoder();
  return {
    id: slug,
    slug,
    version: 1,
    metadata: { name: slug, entrypoint_path: entrypoint, import_map_path: "deno.json", verify_jwt: false },
    files: new Map([[entrypoint, text.encode(code)], ["deno.json", text.encode(`{ "imports": {} }`)]]),
  };
}
