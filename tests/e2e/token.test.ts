import assert from "node:assert/strict";
import { Worker } from "../../worker/index.ts";
import { project } from "../support/project.ts";
import { createWorld, until } from "./world.ts";

Deno.test("a worker refreshes its token ahead of its end, and goes on working", async () => {
  const { app, token } = await createWorld();
  let refreshes = 0;
  await using worker = new Worker({
    url: project.url,
    enrollmentToken: token,
    // Tokens that seem to last a second, so that the test need not last ten minutes.
    fetch: async (input, init) => {
      const response = await fetch(input, init);
      if (!String(input).includes("/enroll")) return response;
      if (String(input).endsWith("/refresh")) refreshes += 1;
      return Response.json({ ...await response.json(), expiresIn: 1 }, { status: response.status });
    },
  });
  worker.handle("test.echo", ({ payload }) => payload);
  await worker.start();

  await until("three refreshes", () => Promise.resolve(refreshes >= 3));
  const job = await app.submit({ type: "test.echo", payload: { still: "here" } });
  assert.deepEqual((await app.wait(job.id, { timeoutSeconds: 30 })).result, { still: "here" });
});

Deno.test("a token that is refused is renewed at once, and the call repeated", async () => {
  const { app, token } = await createWorld();
  let refused = 0;
  await using worker = new Worker({
    url: project.url,
    enrollmentToken: token,
    realtime: false,
    fetch: (input, init) => {
      if (refused === 0 && String(input).endsWith("/complete_jobs")) {
        refused += 1;
        return Promise.resolve(Response.json({ code: "PGRST303", message: "JWT expired" }, { status: 401 }));
      }
      return fetch(input, init);
    },
  });
  worker.handle("test.echo", ({ payload }) => payload);
  await worker.start();

  const job = await app.submit({ type: "test.echo", payload: 1 });
  assert.equal((await app.wait(job.id, { timeoutSeconds: 30 })).result, 1);
  assert.equal(refused, 1);
});
