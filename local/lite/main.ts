// The process that serves the Data API, Auth and Storage: `@supabase/lite` over the stack's Postgres, told by its
// environment where that is. See docs/decisions/0004-embedded-lite.md for why not `lite start`.
import { childSettings, serveForParent } from "../parent.ts";
import { createLite, type LiteSettings } from "./app.ts";

const lite = await createLite(childSettings<LiteSettings>());
const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, lite.fetch);

serveForParent({
  port: server.addr.port,
  async stop() {
    await server.shutdown();
    await lite.stop();
  },
});
