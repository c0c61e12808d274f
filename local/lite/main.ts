// The process that serves the Data API, Auth and Storage: `@supabase/lite` over the stack's Postgres, told by its
// environment where that is. See docs/decisions/0004-embedded-lite.md for why not `lite start`.
import process from "node:process";
import { serveForParent } from "../parent.ts";
import { createLite, type LiteSettings } from "./app.ts";

const settings: LiteSettings = JSON.parse(process.env.MUSTER_LITE ?? "{}");
const lite = await createLite(settings);
const server = Deno.serve({ hostname: "127.0.0.1", port: settings.port, onListen: () => {} }, lite.fetch);

serveForParent(server.addr.port, async () => {
  await server.shutdown();
  await lite.stop();
});
