import assert from "node:assert/strict";
import { UsageError } from "../shared/usage-error.ts";
import { createApi } from "./api.ts";
import { parseCommand } from "./command.ts";
import { readConnection } from "./connection.ts";

const now = () => Date.UTC(2026, 0, 1);

/** What the functions are sent by a command that begins with finding or making its tenant. */
async function sentBy(line: string): Promise<{ path: string; tenantId: string | null; body: unknown }> {
  const requests: Request[] = [];
  const connection = { url: "http://127.0.0.1:1", secretKey: "sb_secret_test" };
  const id = "5d5b2f6e-3a43-4a4e-9d3c-1f5f4a0b6c7d";
  const tenant = { id, name: "lab", createdAt: "2026-01-01T00:00:00Z", created: false, adminUserId: null, role: null };
  const api = createApi(connection, (input, init) => {
    requests.push(new Request(input, init));
    return Promise.resolve(Response.json({ ...tenant, tenants: [tenant], nextCursor: null }));
  });
  const command = parseCommand(line.split(" "), now);
  assert.ok(command.kind === "run");
  // The last answer has not the shape the command waits for.
  await assert.rejects(command.work({ api, auth: undefined as never }));
  const last = requests.at(-1)!;
  const text = await last.text();
  return {
    path: new URL(last.url).pathname,
    tenantId: last.headers.get("x-tenant-id") === id ? "lab" : null,
    body: text === "" ? null : JSON.parse(text),
  };
}

Deno.test("enrollment-token create sends its options", async () => {
  const line = "enrollment-token create --tenant lab --capability a/b --capability c --label site=x=y --max-uses 5 " +
    "--expires 90d --ephemeral --cidr 10.0.0.0/8 --json";
  assert.deepEqual(await sentBy(line), {
    path: "/functions/v1/enroll/tokens",
    tenantId: "lab",
    body: {
      name: "default",
      capabilities: ["a/b", "c"],
      labels: { site: "x=y" },
      maxUses: 5,
      expiresAt: "2026-04-01T00:00:00.000Z",
      ephemeral: true,
      cidrs: ["10.0.0.0/8"],
    },
  });
});

Deno.test("schedule create sends a schedule, and what is left out not at all", async () => {
  const line = "schedule create nightly --tenant lab --cron @daily --time-zone Europe/Berlin --type a --payload [1] " +
    '--capability c --job {"priority":5} --overlap skip --catch-up none --jitter 60';
  assert.deepEqual(await sentBy(line), {
    path: "/functions/v1/schedules",
    tenantId: "lab",
    body: {
      name: "nightly",
      cron: "@daily",
      timeZone: "Europe/Berlin",
      job: { type: "a", payload: [1], requires: ["c"], priority: 5 },
      overlap: "skip",
      catchUp: "none",
      jitterSeconds: 60,
    },
  });
  const { body } = await sentBy("schedule create hourly --cron @hourly --type a");
  assert.deepEqual(body, { name: "hourly", cron: "@hourly", job: { type: "a" } });
});

Deno.test("schedule create refuses what no schedule can be before anything is sent", () => {
  const slips = {
    "--payload {": /--payload: it must be JSON/,
    "--job []": /--job: it must be a JSON object/,
    "--overlap maybe": /must be one of allow, skip, replace/,
    "--catch-up some": /must be one of none, last, all/,
    "--jitter x": /jitterSeconds/,
    "--jitter 3601": /jitterSeconds/,
    "--capability A": /Cannot allow capability "A"/,
    "--time-zone x!": /timeZone/,
  };
  for (const [slip, message] of Object.entries(slips)) {
    assert.throws(
      () => parseCommand(`schedule create a --cron @daily --type a ${slip}`.split(" "), now),
      (error) => error instanceof UsageError && message.test(error.message),
      slip,
    );
  }
  assert.throws(() => parseCommand(["schedule", "create", "a", "--type", "a"], now), /Cannot use cron/);
  assert.throws(() => parseCommand(["schedule", "preview", "@daily", "--count", "101"], now), UsageError);
});

Deno.test("worker cordon and uncordon name the worker and its tenant", async () => {
  const id = "9f8b7c6d-1111-4222-8333-944455566677";
  for (const verb of ["cordon", "uncordon"]) {
    assert.deepEqual(await sentBy(`worker ${verb} ${id} --tenant lab`), {
      path: `/functions/v1/workers/${id}/${verb}`,
      tenantId: "lab",
      body: null,
    });
  }
  assert.throws(() => parseCommand(["worker", "cordon", "gpu-1"], now), UsageError);
  assert.throws(() => parseCommand(["worker", "cordon"], now), UsageError);
});

Deno.test("an enrollment token is for one machine and one day unless told otherwise", async () => {
  const { body } = await sentBy("enrollment-token create");
  assert.deepEqual(body, {
    name: "default",
    capabilities: null,
    labels: {},
    maxUses: 1,
    expiresAt: "2026-01-02T00:00:00.000Z",
    ephemeral: false,
    cidrs: null,
  });
});

Deno.test("a key may read and submit unless told otherwise, and each scope counts once", async () => {
  const scopesOf = async (line: string) => ((await sentBy(line)).body as { scopes: string[] }).scopes;
  assert.deepEqual(await scopesOf("api-key create"), ["read", "submit"]);
  assert.deepEqual(await scopesOf("api-key create --scope operate --scope read --scope operate"), ["operate", "read"]);
});

Deno.test("an overlap is a length of time", async () => {
  const id = "0b3f0f5c-6a57-4a7e-8f6c-1c7f0a9b2d3e";
  for (const [given, overlapSeconds] of [["0", 0], ["90s", 90], ["12h", 43_200], ["30d", 2_592_000]] as const) {
    assert.deepEqual(await sentBy(`api-key rotate ${id} --overlap ${given}`), {
      path: `/functions/v1/tenants/api-keys/${id}/rotate`,
      tenantId: "lab",
      body: { overlapSeconds },
    });
  }
});

Deno.test("limits set sends what is named, and null for what shall be usual again", async () => {
  assert.deepEqual(await sentBy("limits set --tenant lab --limit waitingJobs=5000 --limit apiKeyRate=usual"), {
    path: "/functions/v1/tenants/limits",
    tenantId: "lab",
    body: { waitingJobs: 5000, apiKeyRate: null },
  });
});

Deno.test("--help says all, or what a command takes", () => {
  const help = (line: string) => {
    const command = parseCommand(line.split(" "), now);
    assert.ok(command.kind === "help");
    return command.text;
  };
  assert.match(help("--help"), /bootstrap[^]*member add[^]*api-key rotate[^]*enrollment-token revoke/);
  assert.match(help("member add --help"), /member add USER/);
  assert.doesNotMatch(help("member add --help"), /api-key/);
});

Deno.test("a slip on the command line is explained", () => {
  const slips: [string, RegExp][] = [
    ["api-keys create", /commands are/],
    ["tenant create", /without NAME/],
    ["tenant create a b", /exactly NAME/],
    ["bootstrap", /--admin/],
    ["bootstrap --admin nobody", /e-mail/],
    ["member add", /without USER/],
    ["member add 7", /must be an id/],
    ["member add a@example.com --role owner", /admin, editor, publisher, viewer/],
    ["member role a@example.com", /without ROLE/],
    ["api-key create --scope administer", /read, submit, operate, publish/],
    ["api-key revoke msk_abc", /must be an id/],
    ["api-key rotate 0b3f0f5c-6a57-4a7e-8f6c-1c7f0a9b2d3e --overlap 31d", /at most 30d/],
    ["api-key rotate 0b3f0f5c-6a57-4a7e-8f6c-1c7f0a9b2d3e --overlap soon", /--overlap/],
    ["constructor", /commands are/],
    ["api-key create --expires soon", /30m, 12h, 90d/],
    ["api-key create --expires 2020-01-01", /in the future/],
    ["api-key create lab", /belongs to no option/],
    ["api-key create --what", /--what/],
    ["enrollment-token create --max-uses 0", /whole number from 1/],
    ["enrollment-token create --label site", /KEY=VALUE/],
    ["limits set", /without --limit/],
    ["limits set --limit waitingJobs", /NAME=VALUE/],
    ["limits set --limit waitingJobs=-1", /NAME=VALUE/],
    ["limits set --limit jobs=1", /the limits are waitingJobs, workers/],
    ["limits set --limit apiKeyRate=0", /Cannot set limit "apiKeyRate": too small/],
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
