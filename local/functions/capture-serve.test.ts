import assert from "node:assert/strict";
import { captureServe } from "./capture-serve.ts";

const handler = () => new Response("captured");

Deno.test("captureServe() catches every form of Deno.serve, and puts the real one back", async () => {
  const real = Deno.serve;
  const forms = [
    () => Deno.serve(handler),
    () => Deno.serve({ port: 1 }, handler),
    () => Deno.serve({ port: 1, handler }),
  ];
  for (const form of forms) assert.equal(await captureServe(() => Promise.resolve(void form())), handler);
  assert.equal(Deno.serve, real);
  await assert.rejects(captureServe(() => Promise.reject(new Error("no such module"))), /no such module/);
  assert.equal(Deno.serve, real);
});

Deno.test("captureServe() takes a default export with fetch, and is undefined when nothing is served", async () => {
  const found = await captureServe(() => Promise.resolve({ default: { fetch: handler } }));
  const request = new Request("http://localhost/");
  assert.equal(await (await found!(request, {} as Deno.ServeHandlerInfo)).text(), "captured");
  assert.equal(await captureServe(() => Promise.resolve({})), undefined);
});
