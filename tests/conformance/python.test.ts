import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { findPython, pythonWithClient } from "./python/environment.ts";
import { jumpingClock } from "./realtime/support/jumping-clock.ts";
import { ignore as isRemote, startRealtime } from "./realtime/support/own-server.ts";
import { connectDatabase, signToken, type TokenOptions } from "./realtime/support/stack.ts";

// A machine with Node alone can run all the other tests; where all have to run, the environment says so.
const isRequired = Deno.env.get("MUSTER_TEST_PYTHON") === "required";
const python = isRemote ? undefined : await findPython();
const missing = python === undefined && !isRemote;
const reason = missing ? " (skipped: there is no Python 3.11 or newer that can make virtual environments)" : "";

Deno.test({
  name: `the Python client${reason}`,
  ignore: isRemote || (missing && !isRequired),
  async fn(t) {
    assert.ok(python, "Python 3.11 or newer, with venv, is required here");
    const interpreter = await pythonWithClient(python);
    const { now, jump } = jumpingClock();
    // Token ends are looked at all the time, so that a moved clock shows.
    await using server = await startRealtime({ now, limits: { tokenCheckMs: 20, maxMessagesPerSecond: 10_000 } });
    const restart = () => {
      server.realtime.setEnabled(false);
      server.realtime.setEnabled(true);
    };
    await using driver = startDriver({ jump, now, restart });
    const child = spawn(interpreter, [join(import.meta.dirname!, "python", "client_test.py")], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, REALTIME_URL: server.url, DRIVER_URL: driver.url, PYTHONDONTWRITEBYTECODE: "1" },
    });
    const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
    let complaints = "";
    child.stderr.on("data", (text) => complaints += text);
    let count = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const { name, error } = JSON.parse(line) as { name: string; error: string | null };
      count++;
      await t.step(name, () => {
        if (error) throw new Error(error);
      });
    }
    assert.equal(await ended, 0, complaints);
    assert.ok(count > 0, "tests have run");
  },
});

interface Control {
  now: () => number;
  jump: (ms: number) => void;
  restart: () => void;
}

/** What the tests need besides the server they test, over HTTP: SQL as `postgres`, tokens, the server's clock and restarts. */
function startDriver({ now, jump, restart }: Control): { url: string } & AsyncDisposable {
  const database = connectDatabase();
  const routes: Record<string, (body: Record<string, unknown>) => Promise<unknown> | unknown> = {
    sql: async ({ statement }) => [...await database.sql.unsafe(String(statement))],
    token: async (options) => ({ token: await signToken({ ...options as TokenOptions, now: now() }) }),
    pass: ({ seconds }) => jump(Number(seconds) * 1000),
    restart,
  };
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, async (request) => {
    const route = routes[new URL(request.url).pathname.slice(1)];
    if (!route) return new Response(null, { status: 404 });
    return Response.json(await route(await request.json()) ?? null);
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    async [Symbol.asyncDispose]() {
      await server.shutdown();
      await database[Symbol.asyncDispose]();
    },
  };
}
