import assert from "node:assert/strict";
import { UsageError } from "../shared/usage-error.ts";
import { parseCommand } from "./command.ts";
import { readConnection } from "./connection.ts";

const now = () => Date.UTC(2026, 0, 1);

Deno.test("enrollment-token create reads its options", () => {
  const line = "enrollment-token create --tenant lab --capability a/b --capability c --label site=x=y --max-uses 5 " +
    "--expires 90d --ephemeral --json";
  assert.deepEqual(parseCommand(line.split(" "), now), {
    kind: "enrollment-token create",
    json: true,
    tenant: "lab",
    name: "default",
    capabilities: ["a/b", "c"],
    labels: { site: "x=y" },
    maxUses: 5,
    expiresAt: "2026-04-01T00:00:00.000Z",
    ephemeral: true,
  });
});

Deno.test("an enrollment token is for one machine and one day unless told otherwise", () => {
  const command = parseCommand(["enrollment-token", "create"], now);
  assert.ok(command.kind === "enrollment-token create");
  assert.deepEqual([command.maxUses, command.expiresAt, command.capabilities], [1, "2026-01-02T00:00:00.000Z", null]);
});

Deno.test("a slip on the command line is explained", () => {
  const slips: [string, RegExp][] = [
    ["api-keys create", /commands are/],
    ["tenant create", /exactly one name/],
    ["tenant create a b", /exactly one name/],
    ["api-key create --expires soon", /30m, 12h, 90d/],
    ["api-key create --expires 2020-01-01", /in the future/],
    ["api-key create lab", /belongs to no option/],
    ["api-key create --what", /--what/],
    ["enrollment-token create --max-uses 0", /whole number from 1/],
    ["enrollment-token create --label site", /KEY=VALUE/],
    ["enrollment-token create --capability Äh", /lower-case/],
  ];
  for (const [line, message] of slips) {
    assert.throws(
      () => parseCommand(line.split(" "), now),
      (error) => error instanceof UsageError && message.test(error.message),
      line,
    );
  }
});

Deno.test("the local stack's secret key goes to the local stack alone", async () => {
  const stack = () => Promise.resolve(JSON.stringify({ url: "http://127.0.0.1:54321", secretKey: "sb_secret_local" }));
  assert.deepEqual(await readConnection({}, stack), { url: "http://127.0.0.1:54321", secretKey: "sb_secret_local" });
  await assert.rejects(readConnection({ SUPABASE_URL: "https://x.supabase.co" }, stack), UsageError);
  await assert.rejects(readConnection({ SUPABASE_URL: "x.supabase.co" }, stack), UsageError);
  await assert.rejects(readConnection({}, () => Promise.reject(new Error("no file"))), UsageError);
});
