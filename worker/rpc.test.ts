import assert from "node:assert/strict";
import { createRpc } from "./rpc.ts";

Deno.test("a call that is refused for its token is made again at once, with a new one", async () => {
  const tokens = ["old", "new"];
  const sent: (string | null)[] = [];
  const rpc = createRpc({
    url: "http://project.test",
    publishableKey: "key",
    token: (options) => {
      if (options?.renew === true) tokens.shift();
      return Promise.resolve(tokens[0]!);
    },
    fetch: (input, init) => {
      const { headers } = new Request(input, init);
      sent.push(headers.get("authorization"));
      return Promise.resolve(
        headers.get("authorization") === "Bearer new"
          ? Response.json({ jobs: [], again: false })
          : Response.json({ code: "PGRST303", message: "JWT expired" }, { status: 401 }),
      );
    },
  });
  assert.deepEqual(await rpc.claimJobs(1), { jobs: [], again: false });
  assert.deepEqual(sent, ["Bearer old", "Bearer new"]);
});
