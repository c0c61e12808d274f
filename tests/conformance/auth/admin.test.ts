import assert from "node:assert/strict";
import { project } from "../../support/project.ts";
import {
  connect,
  connectAsAdmin,
  connectDatabase,
  createTable,
  createUser,
  newEmail,
  password,
  refusal,
  signIn,
} from "./support/users.ts";

const notFound = { status: 404, code: "user_not_found", message: "User not found" };

Deno.test("an admin creates a user as a row of auth.users with a hashed password and an identity", async () => {
  await using database = connectDatabase();
  const { data, error } = await connectAsAdmin().auth.admin.createUser({
    email: newEmail().toUpperCase(),
    password,
    email_confirm: true,
    user_metadata: { name: "Ada" },
    app_metadata: { plan: "pro" },
  });
  assert.equal(error, null);
  const user = data.user!;
  const [row] = await database.sql`
    select u.*, i.provider, i.identity_data ->> 'sub' as identity_sub
    from auth.users u join auth.identities i on i.user_id = u.id where u.id = ${user.id}`;
  assert.equal(row!.email, user.email);
  assert.equal(user.email, user.email!.toLowerCase());
  assert.match(row!.encrypted_password, /^\$2a\$10\$/);
  assert.deepEqual(row!.raw_app_meta_data, { provider: "email", providers: ["email"], plan: "pro" });
  assert.deepEqual(row!.raw_user_meta_data, { name: "Ada", email_verified: true });
  assert.deepEqual([row!.provider, row!.identity_sub], ["email", user.id]);
  assert.deepEqual([user.role, user.aud], ["authenticated", "authenticated"]);
  assert.deepEqual(new Date(user.created_at), row!.created_at);
  await connectAsAdmin().auth.admin.deleteUser(user.id);
});

Deno.test("an email belongs to one user, also when two are created at once", async () => {
  const { admin } = connectAsAdmin().auth;
  const email = newEmail();
  const answers = await Promise.all([1, 2, 3].map(() => admin.createUser({ email, password })));
  const created = answers.filter(({ error }) => error === null);
  assert.equal(created.length, 1);
  for (const { error } of answers.filter(({ error }) => error !== null)) {
    assert.deepEqual(refusal(error), {
      status: 422,
      code: "email_exists",
      message: "A user with this email address has already been registered",
    });
  }
  await admin.deleteUser(created[0]!.data.user!.id);
});

Deno.test("an admin lists users by the page, latest first", async () => {
  await using first = await createUser();
  await using second = await createUser();
  const { data, error } = await connectAsAdmin().auth.admin.listUsers({ page: 1, perPage: 1 });
  assert.equal(error, null);
  assert.deepEqual(data.users.map(({ id }) => id), [second.id]);
  const next = await connectAsAdmin().auth.admin.listUsers({ page: 2, perPage: 1 });
  assert.deepEqual(next.data.users.map(({ id }) => id), [first.id]);
  assert.ok("total" in data && data.total >= 2 && data.nextPage === 2);
  // Of the number of a page the client reads the first digit.
  assert.equal(String(data.lastPage), String(data.total)[0]);
});

Deno.test("an admin changes a user: metadata is merged, and a new password ends its sessions", async () => {
  await using user = await createUser({ user_metadata: { name: "Ada", team: "red" } });
  const { client } = await signIn(user.email);
  const { admin } = connectAsAdmin().auth;
  const email = newEmail();
  const changed = await admin.updateUserById(user.id, {
    email,
    password: "another password",
    user_metadata: { team: null, level: 2 },
    app_metadata: { plan: "pro" },
  });
  assert.equal(changed.error, null);
  assert.deepEqual(changed.data.user?.user_metadata, { name: "Ada", level: 2, email_verified: true });

  const { data } = await admin.getUserById(user.id);
  assert.deepEqual(data, changed.data);
  assert.deepEqual(data.user?.app_metadata, { provider: "email", providers: ["email"], plan: "pro" });
  assert.deepEqual([data.user?.email, data.user?.identities?.map(({ identity_data }) => identity_data?.email)], [
    email,
    [email],
  ]);

  assert.equal(refusal((await client.auth.refreshSession()).error)?.code, "refresh_token_not_found");
  const old = await connect().auth.signInWithPassword({ email, password });
  assert.equal(refusal(old.error)?.code, "invalid_credentials");
  const fresh = await connect().auth.signInWithPassword({ email, password: "another password" });
  assert.equal(fresh.error, null);
});

Deno.test("a deleted user is gone, with its sessions and the rows that belong to it", async () => {
  await using database = connectDatabase();
  const { sql } = database;
  await using notes = await createTable(sql, "owner uuid references auth.users on delete cascade");
  const { admin } = connectAsAdmin().auth;
  const { data } = await admin.createUser({ email: newEmail(), password, email_confirm: true });
  const { id, email } = data.user!;
  const { client } = await signIn(email!);
  await sql`insert into ${sql(`public.${notes.name}`)} values (${id})`;

  assert.equal((await admin.deleteUser(id)).error, null);
  assert.deepEqual(refusal((await admin.getUserById(id)).error), notFound);
  assert.deepEqual(refusal((await admin.deleteUser(id)).error), notFound);
  assert.equal(refusal((await client.auth.getUser()).error)?.code, "user_not_found");
  assert.equal(refusal((await client.auth.refreshSession()).error)?.code, "refresh_token_not_found");
  const [left] = await sql`
    select (select count(*)::int from ${sql(`public.${notes.name}`)}) as notes,
      (select count(*)::int from auth.identities where user_id = ${id}) as identities,
      (select count(*)::int from auth.refresh_tokens where user_id = ${id}) as tokens`;
  assert.deepEqual({ ...left }, { notes: 0, identities: 0, tokens: 0 });
});

Deno.test("a user that rows refer to without cascade is not deleted", async () => {
  await using database = connectDatabase();
  const { sql } = database;
  await using user = await createUser();
  await using notes = await createTable(sql, "owner uuid references auth.users");
  await sql`insert into ${sql(`public.${notes.name}`)} values (${user.id})`;
  const { error } = await connectAsAdmin().auth.admin.deleteUser(user.id);
  assert.deepEqual([error?.status, error?.message], [500, "Database error deleting user"]);
  assert.equal((await connectAsAdmin().auth.admin.getUserById(user.id)).error, null);
});

Deno.test("users are an admin's business: neither the publishable key nor a user's token opens them", async () => {
  await using user = await createUser();
  const expected = { status: 403, code: "not_admin", message: "User not allowed" };
  const { client } = await signIn(user.email);
  const answers = await Promise.all([
    connect().auth.admin.listUsers(),
    connect().auth.admin.createUser({ email: newEmail(), password }),
    connect().auth.admin.getUserById(user.id),
    connect().auth.admin.updateUserById(user.id, { password: "taken over" }),
    connect().auth.admin.deleteUser(user.id),
  ]);
  for (const { error } of answers) assert.deepEqual(refusal(error), expected);

  const { data: { session } } = await client.auth.getSession();
  const answer = await ask("users", { authorization: `Bearer ${session!.access_token}` });
  assert.deepEqual([answer.status, await answer.json()], [
    403,
    { code: 403, error_code: "not_admin", msg: "User not allowed" },
  ]);
});

Deno.test("a token that is none is refused as bad_jwt", async () => {
  const answer = await ask("users", { authorization: "Bearer nonsense" });
  assert.equal(answer.status, 403);
  assert.deepEqual(await answer.json(), {
    code: 403,
    error_code: "bad_jwt",
    msg: "invalid JWT: unable to parse or verify signature, token is malformed: token contains an invalid number of " +
      "segments",
  });
});

Deno.test("bad requests of an admin are refused with their reason", async () => {
  await using user = await createUser();
  const { admin } = connectAsAdmin().auth;
  const create = async (attributes: Parameters<typeof admin.createUser>[0]) =>
    refusal((await admin.createUser(attributes)).error);
  assert.deepEqual(await create({ password }), {
    status: 400,
    code: "validation_failed",
    message: "Cannot create a user without either an email or phone",
  });
  assert.equal((await create({ email: "not an email" }))?.code, "validation_failed");
  assert.equal((await create({ email: newEmail(), password: "x".repeat(73) }))?.code, "validation_failed");
  const weak = await admin.updateUserById(user.id, { password: "short" });
  assert.deepEqual([weak.error?.status, weak.error?.code], [422, "weak_password"]);

  const apikey = project.secretKey;
  const malformed = await ask("users", {}, { method: "POST", body: "{", headers: { apikey } });
  assert.deepEqual([malformed.status, (await malformed.json()).error_code], [400, "bad_json"]);
  const noId = await ask("users/42", { apikey });
  assert.deepEqual([noId.status, await noId.json()], [
    404,
    { code: 404, error_code: "validation_failed", msg: "user_id must be an UUID" },
  ]);
});

// The platform has these; a stand-in that took them silently would let a test pass that fails there.
Deno.test({
  name: "the local Auth refuses what it does not have: phones, bans and soft deletion",
  ignore: !Deno.env.get("MUSTER_TEST_ADMIN_DB_URL"),
  async fn() {
    await using user = await createUser();
    const { admin } = connectAsAdmin().auth;
    const answers = [
      await admin.createUser({ email: newEmail(), phone: "4915112345678" }),
      await admin.updateUserById(user.id, { ban_duration: "24h" }),
      await admin.deleteUser(user.id, true),
    ];
    for (const { error } of answers) assert.match(error?.message ?? "", /is not supported by the local Auth$/);
    assert.equal((await admin.getUserById(user.id)).error, null);
  },
});

function ask(path: string, headers: Record<string, string>, init: RequestInit = {}): Promise<Response> {
  return fetch(`${project.url}/auth/v1/admin/${path}`, {
    headers: { apikey: project.publishableKey, ...headers },
    ...init,
  });
}
