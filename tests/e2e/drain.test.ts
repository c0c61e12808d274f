import assert from "node:assert/strict";
import { Worker } from "../../worker/index.ts";
import { project } from "../support/project.ts";
import { createWorld } from "./world.ts";

Deno.test("a drain ends a worker that has never got an answer to its hello", async () => {
  const { token } = await createWorld();
  const greeted = Promise.withResolvers<void>();
  const worker = new Worker({
    url: project.url,
    enrollmentToken: token,
    fetch: (input, init) => {
      if (!String(input).endsWith("/rpc/hello")) return fetch(input, init);
      greeted.resolve();
      return Promise.resolve(new Response(null, { status: 503 }));
    },
  });
  const gaveUp = assert.rejects(worker.start(), /told to end/);
  await greeted.promise;
  await worker.drain("told to end");
  await gaveUp;
  await worker.closed;
});
