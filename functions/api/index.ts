import { createLog } from "../../shared/http/log.ts";
import { readPublicUrl } from "../../shared/platform.ts";
import { createApp } from "./app.ts";
import type { Documents } from "./documents.ts";
import documents from "./documents.json" with { type: "json" };

const app = createApp({
  documents: documents as unknown as Documents,
  publicUrl: readPublicUrl(Deno.env.toObject()),
  log: createLog(),
});

Deno.serve((request) => app.fetch(request));
