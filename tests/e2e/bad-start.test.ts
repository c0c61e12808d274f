import assert from "node:assert/strict";
import { join } from "node:path";
import { project } from "../support/project.ts";
import { api, createEnrollmentToken, createTenant } from "../support/tenant.ts";
import { startWorker, WorkerProcess, type WorkerProcessOptions } from "../support/worker-process.ts";

/** Starts the script, which must end by itself with code 2 and one explanation. */
async function explanation(options: WorkerProcessOptions): Promise<string> {
  await using worker = new WorkerProcess({ ...options, args: [...options.args ?? [], "--log-format", "text"] });
  assert.equal(await worker.exitCode(), 2, worker.errors);
  assert.doesNotMatch(worker.errors, /\bat .*\.ts:\d/, "a stack trace is no explanation");
  return worker.errors;
}

async function newToken(options: Parameters<typeof createEnrollmentToken>[1] = {}): Promise<string> {
  const tenant = await createTenant("start");
  return (await createEnrollmentToken(tenant.id, options)).enrollmentToken;
}

Deno.test("a URL that is none is explained", async () => {
  assert.match(await explanation({ url: "muster" }), /--url "muster" is not a URL\.\nGive the project's URL/);
});

Deno.test("a host that does not exist is explained", async () => {
  const text = await explanation({ url: "http://no-such-host.invalid", token: "mse_x" });
  assert.match(text, /Cannot find the host of http:\/\/no-such-host\.invalid\./);
});

Deno.test("a port where nothing answers is explained", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const text = await explanation({ url: `http://127.0.0.1:${port}`, token: "mse_x" });
  assert.match(text, /Nothing answers at http:\/\/127\.0\.0\.1:\d+: connection refused\./);
});

Deno.test("a server that is no Muster project is explained", async () => {
  for (const status of [200, 401, 404, 500]) {
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      () => new Response("<html>hello</html>", { status, headers: { "content-type": "text/html" } }),
    );
    const text = await explanation({ url: `http://127.0.0.1:${server.addr.port}`, token: "mse_x" });
    assert.match(text, /answers, but it is not a Muster project\./, String(status));
  }
});

Deno.test("a missing, an unknown, an expired and a spent token are explained", async () => {
  assert.match(await explanation({}), /has not enrolled yet, and no enrollment token was given\.\nGive an enrollment/);
  assert.match(await explanation({ token: `mse_${"x".repeat(43)}` }), /unknown/);
  const past = new Date(Date.now() - 60_000).toISOString();
  assert.match(await explanation({ token: await newToken({ expiresAt: past }) }), /expired/);

  const once = await newToken({ maxUses: 1 });
  await using _first = await startWorker({ token: once });
  assert.match(await explanation({ token: once }), /no uses left\.\nAsk .*new/);
});

Deno.test("slots, labels and options that make no sense are explained", async () => {
  assert.match(await explanation({ slots: 0 }), /--slots is "0": it must be a whole number from 1 to 256\./);
  assert.match(await explanation({ args: ["--label", "site"] }), /Cannot read label "site": it must be KEY=VALUE\./);
  assert.match(await explanation({ args: ["--sloths", "3"] }), /--sloths/);
  const many = Array.from({ length: 101 }, (_, index) => `c/${index}`);
  assert.match(await explanation({ token: "mse_x", capabilities: many }), /101 capabilities: at most 100/);
});

Deno.test("an identity that is in use, of another project, or open to others is explained", async () => {
  await using worker = await startWorker({ token: await newToken() });
  assert.match(await explanation({ identity: worker.identity }), /a worker that runs on this machine is using it\./);

  const kept = JSON.parse(await Deno.readTextFile(worker.identity));
  const folder = await Deno.makeTempDir();
  const foreign = join(folder, "foreign.json");
  await Deno.writeTextFile(foreign, JSON.stringify({ ...kept, url: "https://other.example" }), {
    mode: 0o600,
  });
  assert.match(await explanation({ identity: foreign }), /it belongs to https:\/\/other\.example, not to /);
  await Deno.writeTextFile(foreign, JSON.stringify({ ...kept, key: { ...kept.key, d: undefined } }));
  assert.match(await explanation({ identity: foreign }), /its private key is missing\./);
  await Deno.writeTextFile(foreign, "{}");
  assert.match(await explanation({ identity: foreign }), /is not a worker's identity\./);
  if (Deno.build.os !== "windows") {
    await Deno.chmod(foreign, 0o644);
    assert.match(await explanation({ identity: foreign }), /other users .* can read its key\.\nRun chmod 600 /);
  }
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a revoked worker ends at once and says why, and cannot start again", async () => {
  const tenant = await createTenant("start");
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  await using worker = await startWorker({ token: enrollmentToken });
  const { workerId } = await worker.waitFor("worker.enrolled");

  const operator = api(project.secretKey, { "x-tenant-id": tenant.id });
  assert.equal((await operator(`/workers/${workerId}/revoke`, { method: "POST" })).status, 200);

  // It hears of it with its next call, which here is the goodbye.
  worker.signal("SIGTERM");
  await worker.exitCode();
  assert.match(
    await explanation({ identity: worker.identity }),
    /revoked\.\nAsk an operator for a new enrollment token/,
  );
});
