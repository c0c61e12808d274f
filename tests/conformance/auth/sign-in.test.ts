import assert from "node:assert/strict";
import { jwtVerify, SignJWT } from "jose";
import { project } from "../../support/project.ts";
import {
  connect,
  connectAsAdmin,
  connectDatabase,
  createUser,
  newEmail,
  password,
  refusal,
  signIn,
} from "./support/users.ts";

const secret = new TextEncoder().encode(project.jwtSecret);

Deno.test("a user signs in with its password and gets a token with the claims of Auth", async () => {
  await using user = await createUser({ app_metadata: { plan: "pro" }, user_metadata: { name: "Ada" } });
  const { data, error } = await connect().auth.signInWithPassword({ email: user.email, password });
  assert.equal(error, null);
  assert.equal(data.user?.id, user.id);
  const { session_id, iat, exp, ...claims } =
    (await jwtVerify(data.session!.access_token, secret, { algorithms: ["HS256"] })).payload;
  assert.equal(exp! - iat!, 3600);
  assert.match(String(session_id), /^[0-9a-f-]{36}$/);
  assert.deepEqual(claims, {
    iss: `${project.url}/auth/v1`,
    sub: user.id,
    aud: "authenticated",
    role: "authenticated",
    email: user.email,
    phone: "",
    app_metadata: { provider: "email", providers: ["email"], plan: "pro" },
    user_metadata: { name: "Ada", email_verified: true },
    aal: "aal1",
    is_anonymous: false,
  });
});

Deno.test("a wrong password and an unknown user are refused alike", async () => {
  await using user = await createUser();
  const expected = { status: 400, code: "invalid_credentials", message: "Invalid login credentials" };
  const client = connect();
  const wrong = await client.auth.signInWithPassword({ email: user.email, password: "wrong password" });
  assert.deepEqual(refusal(wrong.error), expected);
  const unknown = await client.auth.signInWithPassword({ email: newEmail(), password });
  assert.deepEqual(refusal(unknown.error), expected);
});

Deno.test("a user whose email is not confirmed does not get in until it is", async () => {
  const admin = connectAsAdmin().auth.admin;
  const email = newEmail();
  const { data } = await admin.createUser({ email, password });
  const { id } = data.user!;
  const { error } = await connect().auth.signInWithPassword({ email, password });
  assert.deepEqual(refusal(error), { status: 400, code: "email_not_confirmed", message: "Email not confirmed" });
  await admin.updateUserById(id, { email_confirm: true });
  await signIn(email);
  await admin.deleteUser(id);
});

Deno.test("a refresh token gives a new token of the same session, and only one that exists", async () => {
  await using user = await createUser({ app_metadata: { plan: "pro" } });
  const { client, token } = await signIn(user.email);
  const { data, error } = await client.auth.refreshSession();
  assert.equal(error, null);
  const claimsOf = async (token: string) => (await jwtVerify(token, secret)).payload;
  const [before, after] = [await claimsOf(token), await claimsOf(data.session!.access_token)];
  assert.equal(after.session_id, before.session_id);
  assert.deepEqual(after.app_metadata, before.app_metadata);
  const unknown = await connect().auth.refreshSession({ refresh_token: crypto.randomUUID() });
  assert.deepEqual(refusal(unknown.error), {
    status: 400,
    code: "refresh_token_not_found",
    message: "Invalid Refresh Token: Refresh Token Not Found",
  });
});

Deno.test("signing out ends this sign-in and leaves the user's others", async () => {
  await using user = await createUser();
  const [here, elsewhere] = [await signIn(user.email), await signIn(user.email)];
  const { data: { session } } = await here.client.auth.getSession();
  assert.equal((await here.client.auth.signOut({ scope: "local" })).error, null);

  // What the client makes of session_not_found.
  assert.equal((await connect().auth.getUser(here.token)).error?.name, "AuthSessionMissingError");
  const refreshed = await connect().auth.refreshSession({ refresh_token: session!.refresh_token });
  assert.equal(refusal(refreshed.error)?.code, "refresh_token_not_found");
  assert.equal((await elsewhere.client.auth.getUser()).data.user?.id, user.id);
});

Deno.test("an admin signs a user out everywhere by its token", async () => {
  await using user = await createUser();
  const [one, two] = [await signIn(user.email), await signIn(user.email)];
  assert.equal((await connectAsAdmin().auth.admin.signOut(one.token, "global")).error, null);
  for (const { client } of [one, two]) {
    assert.equal(refusal((await client.auth.refreshSession()).error)?.code, "refresh_token_not_found");
  }
});

Deno.test("the user of a token is told only to the bearer of a good one", async () => {
  await using user = await createUser({ user_metadata: { name: "Ada" } });
  const { client } = await signIn(user.email);
  const { data } = await client.auth.getUser();
  assert.equal(data.user?.email, user.email);
  assert.equal(data.user?.user_metadata.name, "Ada");

  const forged = await new SignJWT({ role: "authenticated", sub: user.id })
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime("1h")
    .sign(new TextEncoder().encode("another secret of at least 32 characters"));
  assert.deepEqual(refusal((await connect().auth.getUser(forged)).error), {
    status: 403,
    code: "bad_jwt",
    message: "invalid JWT: unable to parse or verify signature, token signature is invalid: signature is invalid",
  });
});

Deno.test("a sign-up is signed in at once, cannot be repeated, and leaves metadata that SQL can read", async () => {
  await using database = connectDatabase();
  const client = connect();
  const email = newEmail();
  const { data, error } = await client.auth.signUp({ email, password, options: { data: { name: "Ada" } } });
  assert.equal(error, null);
  assert.equal((await client.auth.getUser()).data.user?.email, email);

  const again = await connect().auth.signUp({ email, password });
  const expected = { status: 422, code: "user_already_exists", message: "User already registered" };
  assert.deepEqual(refusal(again.error), expected);

  const id = data.user!.id;
  const [row] = await database.sql`
    select u.raw_user_meta_data ->> 'name' as name, u.raw_app_meta_data ->> 'provider' as provider, i.email
    from auth.users u join auth.identities i on i.user_id = u.id where u.id = ${id}`;
  assert.deepEqual({ ...row }, { name: "Ada", provider: "email", email });
  await connectAsAdmin().auth.admin.deleteUser(id);
});

Deno.test("a user that a seed inserted with SQL signs in", async () => {
  await using database = connectDatabase();
  const email = newEmail();
  await database.sql`
    insert into auth.users (
      instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data, raw_user_meta_data,
      created_at, updated_at
    ) values (
      '00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'authenticated', 'authenticated', ${email},
      extensions.crypt(${password}, extensions.gen_salt('bf')), now(), '{"provider": "email"}', '{}', now(), now()
    )`;
  const { client } = await signIn(email);
  assert.equal((await client.auth.getUser()).data.user?.email, email);
  await database.sql`delete from auth.users where email = ${email}`;
});
