import assert from "node:assert/strict";
import { createRpc } from "./rpc.ts";

for (
  const [why, status, problem] of [
    ["it expired", 401, { code: "PGRST303", message: "JWT expired" }],
    ["it names a key that was changed", 400, { code: "MU001", message: "Cannot accept the worker token" }],
  ] as const
) {
  Deno.test(`a call whose token is refused because ${why} is made again at once, with a new one`, async () => {
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
            : Response.json(problem, { status }),
        );
      },
    });
    assert.deepEqual(await rpc.claimJobs(1), { jobs: [], again: false });
    assert.deepEqual(sent, ["Bearer old", "Bearer new"]);
  });
}
