/**
 * Writes what is generated from the schemas and the list of errors: docs/openapi.json, docs/messages.schema.json,
 * docs/reference.md and docs/errors.md, and functions/api/documents.json, which the function `api` serves.
 * With --check it writes nothing and fails when a file is not what would be written.
 */
import { fileURLToPath } from "node:url";
import { openApiDocument } from "../shared/http/api.ts";
import { createLog } from "../shared/http/log.ts";
import { createApp as createApiOfApi } from "./api/app.ts";
import { toMarkdown } from "./api/blocks.ts";
import type { Documents, MessagesDocument, OpenApiDocument } from "./api/documents.ts";
import { errorsPage } from "./api/errors-page.ts";
import { referencePage } from "./api/reference.ts";
import { createApp as createArtifacts } from "./artifacts/app.ts";
import { createApp as createAudit } from "./audit/app.ts";
import { createApp as createEnroll } from "./enroll/app.ts";
import { createApp as createHealth } from "./health/app.ts";
import { createApp as createJobs } from "./jobs/app.ts";
import { messagesSchema } from "./messages-schema.ts";
import { createApp as createSchedules } from "./schedules/app.ts";
import { createApp as createSecrets } from "./secrets/app.ts";
import { createApp as createTenants } from "./tenants/app.ts";
import { createApp as createWorkers } from "./workers/app.ts";

/** The documents by their paths in the repository. */
export function generatedDocuments(): Record<string, string> {
  const openApi = openApiOfAll() as unknown as OpenApiDocument;
  const messages = messagesSchema() as unknown as MessagesDocument;
  return {
    "docs/openapi.json": asJson(openApi),
    "docs/messages.schema.json": asJson(messages),
    "docs/errors.md": toMarkdown(errorsPage(), "Written by functions/openapi.ts from shared/errors.ts."),
    "docs/reference.md": toMarkdown(referencePage(openApi, messages), "Written by functions/openapi.ts."),
    "functions/api/documents.json": asJson({ openApi, messages }),
  };
}

/** The app of every function. They are only asked for their declarations: no dependency of theirs is ever used. */
export function allApps() {
  const deps = {
    db: {} as never,
    tokens: {} as never,
    limits: {} as never,
    store: {} as never,
    signer: {} as never,
    documents: {} as Documents,
    publicUrl: "http://localhost",
    platform: { publicUrl: "", publishableKey: "" },
    vault: {} as never,
    authenticate: () => Promise.resolve(),
    authenticateOperator: () => Promise.resolve(),
    authenticateWorker: () => Promise.resolve(),
    authenticateService: () => Promise.resolve(),
    findCaller: () => Promise.reject(new Error("Nobody calls")),
    log: createLog(),
  };
  return [
    createEnroll(deps),
    createTenants(deps),
    createJobs(deps),
    createArtifacts(deps),
    createSchedules(deps),
    createWorkers(deps),
    createSecrets(deps),
    createHealth(deps),
    createAudit(deps),
    createApiOfApi(deps),
  ];
}

function openApiOfAll() {
  const parts = allApps().map((app) => openApiDocument(app, "Muster"));
  const [first] = parts;
  const components: Record<string, object> = {};
  for (const part of parts) {
    for (const [kind, named] of Object.entries(part.components ?? {})) {
      components[kind] = { ...components[kind], ...named };
    }
  }
  return {
    ...first,
    tags: parts.flatMap(({ tags }) => tags ?? []),
    paths: Object.assign({}, ...parts.map(({ paths }) => paths)),
    components,
  };
}

function asJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
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
