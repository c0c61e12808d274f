import assert from "node:assert/strict";
import type { Actor, TestDatabase } from "./database.ts";

/** What an actor may do on a channel, an extension each: "", "read", "write" or "read write". */
export type Rights = { broadcast: string; presence: string };

/**
 * What the policies on realtime.messages grant an actor on a channel, asked as the Realtime server asks: reading by
 * probe rows that the server's own role inserts and the actor tries to see, writing by rows the actor tries to insert.
 */
export async function topicRights(db: TestDatabase, actor: Actor, topic: string): Promise<Rights> {
  const rights = { broadcast: [] as string[], presence: [] as string[] };
  const extensions = ["broadcast", "presence"] as const;
  const undo = new Error("Undo");
  await db.sql.begin(async (tx) => {
    const probes: string[] = [];
    for (const extension of extensions) {
      const [probe] = await tx`
        insert into realtime.messages (topic, extension) values (${topic}, ${extension}) returning id`;
      probes.push(probe!.id);
    }
    await tx`select set_config('role', ${actor.role}, true), set_config('realtime.topic', ${topic}, true),
      set_config('request.jwt.claims', ${JSON.stringify(actor.claims)}, true),
      set_config('request.jwt.claim.sub', ${String(actor.claims?.sub ?? "")}, true),
      set_config('request.jwt.claim.role', ${String(actor.claims?.role ?? "")}, true),
      set_config('request.headers', '{}', true)`;
    const seen = await tx`select extension from realtime.messages where id in ${tx(probes)}`;
    for (const { extension } of seen) rights[extension as "broadcast" | "presence"].push("read");
    for (const extension of extensions) {
      await tx.savepoint((inner) =>
        inner`insert into realtime.messages (topic, extension) values (${topic}, ${extension})`
      )
        .then(() => rights[extension].push("write"), (error) => assert.equal(error.code, "42501"));
    }
    throw undo;
  }).catch((error) => {
    if (error !== undo) throw error;
  });
  return { broadcast: rights.broadcast.join(" "), presence: rights.presence.join(" ") };
}
