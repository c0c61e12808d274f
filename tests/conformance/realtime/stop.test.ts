import assert from "node:assert/strict";
import { ReplicationLink } from "../../../local/realtime/replication/replication-link.ts";
import { adminDbUrl, ignore } from "./support/own-server.ts";

// The end of its stream was an error that nobody heard, and took the process down.
Deno.test("a replication link that is stopped while it connects says so to its caller only", { ignore }, async () => {
  const link: ReplicationLink = new ReplicationLink({
    dbUrl: adminDbUrl ?? "",
    publication: "supabase_realtime_messages_publication",
    slotPrefix: "stopped",
    log: () => {},
    // Connecting begins with this.
    prepare: async () => await link.stop(),
    onInsert: () => {},
  });
  await assert.rejects(link.start(), { name: "AbortError" });
});
