import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { connect, connectAsAdmin, createUser, newEmail } from "../conformance/auth/support/users.ts";
import { project } from "../support/project.ts";
import { api } from "../support/tenant.ts";

const repository = resolve(import.meta.dirname!, "../..");

Deno.test("the operator's command prints no control character of a name or an argument, and gives machines all of them", async () => {
  const name = `\x1b[2J\x9b31m\x07${crypto.randomUUID()}\nsecond`;
  const made = await muster("tenant", "create", name);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^Tenant \[2J31m[0-9a-f-]+ second: [0-9a-f-]{36}\n$/);
  const slip = await muster("enrollment-token", "create", "--capability", name);
  assert.equal(slip.code, 2);
  assert.match(slip.stderr, /^Cannot allow capability "\[2J31m[0-9a-f-]+ second"/);
  assert.doesNotMatch(made.stdout + slip.stderr, /[^\P{Cc}\n\t]/u);
  assert.equal(JSON.parse((await muster("tenant", "create", name, "--json")).stdout).name, name);
});

Deno.test("the operator's command lists and verifies a tenant's audit log, and fails when it is not as it was sealed", async () => {
  const name = `audited-${crypto.randomUUID()}`;
  const { apiKey: _, id } = JSON.parse((await muster("api-key", "create", "--tenant", name, "--json")).stdout);
  const listed = await muster("audit", "list", "--tenant", name, "--action", "api_key.");
  assert.match(listed.stdout, new RegExp(`^2  \\S+  service  api_key\\.created  ${id}  `));
  const verified = await muster("audit", "verify", "--tenant", name);
  assert.match(verified.stdout, /^Intact: 2 entries/);
  const head = verified.stdout.trim().split("\n").at(-1)!;
  assert.equal((await muster("audit", "verify", "--tenant", name, "--head", head)).code, 0);
  const forged = await muster("audit", "verify", "--tenant", name, "--head", `1:${"0".repeat(64)}`);
  assert.deepEqual([forged.code, forged.stdout.slice(0, 28)], [1, "Broken at entry 1 (rewritten"]);
  for (
    const args of [["list", "--limit", "0"], ["verify", "--head", "1"], ["burn"]]
  ) {
    assert.equal((await muster("audit", ...args)).code, 2, args.join(" "));
  }
});

Deno.test("bootstrap makes a tenant with an admin who can sign in, and is harmless to repeat", async () => {
  const [name, email] = [`lab-${crypto.randomUUID()}`, newEmail()];
  const made = await record("bootstrap", "--tenant", name, "--admin", email);
  try {
    assert.deepEqual([made.tenant, made.created, made.adminEmail], [name, true, email]);
    const { data, error } = await connect().auth.signInWithPassword({ email, password: made.password });
    assert.equal(error, null);
    const admin = api(data.session!.access_token, { "x-tenant-id": made.tenantId });
    assert.equal((await admin("/tenants/api-keys", { json: { executorName: "shop" } })).status, 201);
    const again = await record("bootstrap", "--tenant", name, "--admin", email);
    assert.deepEqual(again, { ...made, created: false, password: null });

    const other = newEmail();
    const refused = await muster("bootstrap", "--tenant", name, "--admin", other);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /has an admin/);
    const { data: { users } } = await connectAsAdmin().auth.admin.listUsers({ perPage: 1000 });
    assert.ok(!users.some((user) => user.email === other), "no user is made for nothing");
  } finally {
    await connectAsAdmin().auth.admin.deleteUser(made.adminUserId);
  }
});

Deno.test("bootstrap shows the password of a new user once, on a line of its own", async () => {
  const email = newEmail();
  const { code, stdout, stderr } = await muster("bootstrap", "--tenant", crypto.randomUUID(), "--admin", email);
  assert.equal(code, 0, stderr);
  const userId = /\(([0-9a-f-]{36})\), a new user with this password\. It is shown once:\n\n\S{20,}\n$/.exec(stdout)
    ?.[1];
  assert.ok(userId, stdout);
  await connectAsAdmin().auth.admin.deleteUser(userId);
});

Deno.test("an operator adds members, gives them roles and removes them", async () => {
  const name = `team-${crypto.randomUUID()}`;
  await using ada = await createUser();
  await using bea = await createUser();
  await record("bootstrap", "--tenant", name, "--admin", ada.email);
  const tenant = ["--tenant", name];
  assert.equal((await record("member", "add", bea.email, "--role", "editor", ...tenant)).userId, bea.id);
  assert.equal((await record("member", "role", bea.email, "publisher", ...tenant)).role, "publisher");
  const { members } = await record("member", "list", ...tenant);
  const roles = members.map(({ email, role }: { email: string; role: string }) => [email, role]);
  assert.deepEqual(roles, [[ada.email, "admin"], [bea.email, "publisher"]]);
  const listed = await muster("member", "list", ...tenant);
  assert.match(listed.stdout, new RegExp(`${bea.id}  ${bea.email}  publisher`));
  await record("member", "remove", bea.id, ...tenant);
  const refused = await muster("member", "remove", ada.email, ...tenant);
  assert.deepEqual([refused.code, /last admin/.test(refused.stderr)], [1, true]);
  const unknown = await muster("member", "add", newEmail(), ...tenant);
  assert.deepEqual([unknown.code, /Cannot find this user/.test(unknown.stderr)], [1, true]);
});

Deno.test("an operator makes, lists, rotates and revokes API keys", async () => {
  const tenant = ["--tenant", `keys-${crypto.randomUUID()}`];
  const made = await record(
    "api-key",
    "create",
    "--executor",
    "shop",
    "--scope",
    "read",
    "--expires",
    "90d",
    ...tenant,
  );
  assert.deepEqual(made.scopes, ["read"]);
  assert.equal((await api(made.apiKey)("/jobs")).status, 200);
  const rotated = await record("api-key", "rotate", made.id, "--overlap", "1h", ...tenant);
  assert.equal((await api(rotated.apiKey)("/jobs")).status, 200);
  await record("api-key", "revoke", made.id, ...tenant);
  assert.equal((await api(made.apiKey)("/jobs")).status, 401);
  const ids = async (...more: string[]) =>
    (await record("api-key", "list", ...tenant, ...more)).apiKeys.map(({ id }: { id: string }) => id);
  assert.deepEqual(await ids(), [rotated.id]);
  assert.deepEqual(await ids("--all"), [rotated.id, made.id]);
  const shown = await muster("api-key", "list", ...tenant);
  assert.match(shown.stdout, /^ID +KEY +EXECUTOR/);
  assert.ok(!shown.stdout.includes(rotated.apiKey));
});

Deno.test("an operator makes, lists and revokes enrollment tokens", async () => {
  const tenant = ["--tenant", `tokens-${crypto.randomUUID()}`];
  const line = ["--capability", "compute/basic", "--cidr", "10.0.0.0/8", "--max-uses", "3", "--label", "site=lab"];
  const made = await record("enrollment-token", "create", ...line, ...tenant);
  assert.deepEqual([made.maxUses, made.cidrs, made.labels], [3, ["10.0.0.0/8"], { site: "lab" }]);
  const shown = await muster("enrollment-token", "list", ...tenant);
  assert.match(shown.stdout, new RegExp(`${made.id}  default  compute/basic  10.0.0.0/8  0/3`));
  const revoked = await muster("enrollment-token", "revoke", made.id, ...tenant);
  assert.match(revoked.stdout, /is revoked; it let nobody in/);
  assert.equal((await muster("enrollment-token", "list", ...tenant)).stdout, "None\n");
  const slip = await muster("enrollment-token", "create", "--cidr", "10.1.2.3/8", ...tenant);
  assert.deepEqual([slip.code, /"10\.1\.2\.3\/8"/.test(slip.stderr)], [1, true]);
});

Deno.test("an operator shows and changes a tenant's limits", async () => {
  const tenant = ["--tenant", `limited-${crypto.randomUUID()}`];
  await record("tenant", "create", tenant[1]!);
  const usual = (await record("limits", "show", ...tenant)).limits;
  const set = await record("limits", "set", "--limit", "waitingJobs=5", "--limit", "apiKeyRate=20", ...tenant);
  assert.deepEqual(set.limits, { ...usual, waitingJobs: 5, apiKeyRate: 20 });
  const shown = await muster("limits", "show", ...tenant);
  assert.match(shown.stdout, /^waitingJobs +5 +0 +changed$/m);
  assert.match(shown.stdout, /^workers +10000 +0 +usual$/m);
  assert.deepEqual((await record("limits", "set", "--limit", "waitingJobs=usual", ...tenant)).changed, ["apiKeyRate"]);
});

Deno.test("the operator's command makes, shows, pauses, runs and deletes schedules", async () => {
  const tenant = ["--tenant", `scheduled-${crypto.randomUUID()}`];
  await record("tenant", "create", tenant[1]!);
  const made = await muster(
    ...["schedule", "create", "nightly", ...tenant, "--cron", "30 2 * * *", "--time-zone", "Europe/Berlin"],
    ...["--type", "calc.add", "--payload", '{"a": 2}', "--capability", "nobody/has", "--overlap", "skip"],
  );
  assert.match(made.stdout, /^Schedule nightly runs next at \d{4}-.*Z\n$/, made.stderr);
  const job = await record("schedule", "run", "nightly", ...tenant);
  assert.deepEqual([job.type, job.payload, job.requires], ["calc.add", { a: 2 }, ["nobody/has"]]);
  await record("schedule", "pause", "nightly", ...tenant);
  assert.match(
    (await muster("schedule", "list", ...tenant)).stdout,
    /nightly +30 2 \* \* \* +Europe\/Berlin +calc\.add +paused +- +1 +-/,
  );
  assert.notEqual((await record("schedule", "resume", "nightly", ...tenant)).nextRunAt, null);
  assert.equal((await muster("schedule", "delete", "nightly", ...tenant)).stdout, "Deleted nightly\n");
  const gone = await muster("schedule", "run", "nightly", ...tenant);
  assert.deepEqual([gone.code, gone.stderr.split("\n")[0]], [1, 'Cannot find schedule "nightly"']);
  const { runs } = await record("schedule", "preview", "0 12 * * *", ...tenant, "--count", "3");
  assert.equal(runs.length, 3);
  assert.ok(runs.every((run: string) => run.endsWith("T12:00:00.000000Z")), runs.join(" "));
});

Deno.test("a tenant that is not there is not made by looking into it", async () => {
  const name = `none-${crypto.randomUUID()}`;
  for (const command of ["member list", "api-key list", "enrollment-token list"]) {
    const { code, stderr } = await muster(...command.split(" "), "--tenant", name);
    assert.deepEqual([code, stderr.split("\n")[0]], [1, `Cannot find tenant "${name}"`]);
  }
  await record("tenant", "create", name);
  const { tenants } = await record("tenant", "list");
  assert.ok(tenants.some((tenant: { name: string }) => tenant.name === name));
});

// deno-lint-ignore no-explicit-any -- tests look at answers field by field
async function record(...args: string[]): Promise<any> {
  const { code, stdout, stderr } = await muster(...args, "--json");
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

async function muster(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-check", join(repository, "cli/main.ts"), ...args],
    cwd: repository,
    env: { SUPABASE_URL: project.url, SUPABASE_SECRET_KEY: project.secretKey },
  }).output();
  const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
