/**
 * Writes docs/openapi.json, the OpenAPI 3.1 document of every function, and docs/errors.md, the list of errors.
 * With --check it writes nothing and fails when a file is not what would be written.
 */
import { fileURLToPath } from "node:url";
import { openApiDocument } from "../shared/http/api.ts";
import { createLog } from "../shared/http/log.ts";
import { createApp as createArtifacts } from "./artifacts/app.ts";
import { createApp as createEnroll } from "./enroll/app.ts";
import { errorsPage } from "./errors-page.ts";
import { createApp as createHealth } from "./health/app.ts";
import { createApp as createJobs } from "./jobs/app.ts";
import { createApp as createTenants } from "./tenants/app.ts";
import { createApp as createWorkers } from "./workers/app.ts";

/** The documents by their paths in the repository. */
export function generatedDocuments(): Record<string, string> {
  return {
    "docs/openapi.json": `${JSON.stringify(openApiOfAll(), null, 2)}\n`,
    "docs/errors.md": errorsPage(),
  };
}

function openApiOfAll() {
  // The apps are only asked for their declarations: no dependency of theirs is ever used.
  const deps = {
    db: {} as never,
    tokens: {} as never,
    store: {} as never,
    signer: {} as never,
    platform: { publicUrl: "", publishableKey: "" },
    authenticate: () => Promise.resolve(),
    authenticateOperator: () => Promise.resolve(),
    findCaller: () => Promise.reject(new Error("Nobody calls")),
    log: createLog(),
  };
  const apps = [
    createEnroll(deps),
    createTenants(deps),
    createJobs(deps),
    createArtifacts(deps),
    createWorkers(deps),
    createHealth(deps),
  ];
  const parts = apps.map((app) => openApiDocument(app, "Muster"));
  const [first] = parts;
  return {
    ...first,
    paths: Object.assign({}, ...parts.map(({ paths }) => paths)),
    components: {
      ...first?.components,
      schemas: Object.assign({}, ...parts.map(({ components }) => components?.schemas)),
    },
  };
}

if (import.meta.main) {
  const check = Deno.args.includes("--check");
  for (const [path, text] of Object.entries(generatedDocuments())) {
    const file = fileURLToPath(new URL(`../${path}`, import.meta.url));
    if (!check) {
      await Deno.writeTextFile(file, text);
      continue;
    }
    const present = await Deno.readTextFile(file).catch(() => "");
    if (present.replaceAll("\r\n", "\n") !== text) {
      console.error(`${path} is not up to date: run functions/openapi.ts`);
      Deno.exitCode = 1;
    }
  }
}
