import { transaction } from "../lasting-sql.ts";
import postgres from "postgres";
import { z } from "zod";
import { AuthError, invalid } from "./auth-errors.ts";

const Metadata = z.record(z.string(), z.json());

/** What an admin may say about a user; fields that Auth does not know are ignored, as it does. */
export const UserChange = z.object({
  id: z.string(),
  aud: z.string(),
  role: z.string(),
  email: z.string(),
  phone: z.string(),
  password: z.string(),
  password_hash: z.string(),
  email_confirm: z.boolean(),
  phone_confirm: z.boolean(),
  user_metadata: Metadata,
  app_metadata: Metadata,
  ban_duration: z.string(),
}).partial();
export type UserChange = z.infer<typeof UserChange>;

type Json = z.infer<typeof Metadata>;
type Identity = {
  id: string;
  provider: string;
  provider_id: string;
  user_id: string;
  identity_data: Json;
  email: string | null;
  last_sign_in_at: string | null;
  created_at: string;
  updated_at: string;
};
type UserRow = {
  id: string;
  aud: string;
  role: string;
  email: string | null;
  phone: string | null;
  email_confirmed_at: Date | null;
  confirmed_at: Date | null;
  last_sign_in_at: Date | null;
  raw_app_meta_data: Json | null;
  raw_user_meta_data: Json | null;
  is_anonymous: boolean;
  created_at: Date;
  updated_at: Date;
  identities: Identity[];
};

/** A user as supabase-js reads it. */
export type User = ReturnType<typeof toUser>;

/** Inserts a user with an email identity. Without a password nobody can sign in as it until it gets one. */
export async function createUser(sql: postgres.Sql, change: UserChange): Promise<User> {
  const { id = crypto.randomUUID(), password, password_hash } = change;
  if (!change.email) throw invalid("Cannot create a user without either an email or phone");
  const email = validEmail(change.email);
  if (!z.guid().safeParse(id).success) throw invalid("ID must conform to the uuid v4 format");
  if (password && password_hash) throw invalid("Only a password or a password hash should be provided");
  if (password_hash && !/^\$2[aby]\$\d\d\$.{53}$/.test(password_hash)) {
    throw new AuthError(500, "unexpected_failure", "Error creating user");
  }
  const hash = password_hash || await hashPassword(sql, password || crypto.randomUUID() + crypto.randomUUID());
  try {
    await transaction(sql, async (tx) => {
      await tx`
        insert into auth.users (
          id, instance_id, aud, role, email, encrypted_password, email_confirmed_at, raw_app_meta_data,
          raw_user_meta_data
        ) values (
          ${id}, '00000000-0000-0000-0000-000000000000', ${change.aud || "authenticated"},
          ${change.role || "authenticated"}, ${email}, ${hash}, ${change.email_confirm ? tx`now()` : null},
          ${tx.json(merge({ provider: "email", providers: ["email"] }, change.app_metadata))},
          ${tx.json(merge(change.user_metadata ?? {}, change.email_confirm ? { email_verified: true } : {}))}
        )`;
      await insertEmailIdentity(tx, id, email, false);
    });
  } catch (error) {
    const isEmailTaken = error instanceof postgres.PostgresError &&
      error.constraint_name === "users_email_partial_key";
    if (isEmailTaken) {
      throw new AuthError(422, "email_exists", "A user with this email address has already been registered");
    }
    throw failure("Database error creating new user", error);
  }
  return await getUser(sql, id);
}

/** The page's users, latest first, and how many there are in all. */
export async function listUsers(
  sql: postgres.Sql,
  { page, per_page }: { page: number; per_page: number },
): Promise<{ users: User[]; total: number }> {
  const [count] = await sql<{ total: number }[]>`select count(*)::int as total from auth.users`;
  const rows = await sql<UserRow[]>`
    ${selectUser(sql)} order by u.created_at desc, u.id desc limit ${per_page} offset ${(page - 1) * per_page}`;
  return { users: rows.map(toUser), total: count!.total };
}

export async function getUser(sql: postgres.ISql<Record<never, never>>, id: string): Promise<User> {
  const [row] = await sql<UserRow[]>`${selectUser(sql)} where u.id = ${id}`;
  if (!row) throw new AuthError(404, "user_not_found", "User not found");
  return toUser(row);
}

/** Changes what is said; metadata is merged, and a null takes a key out. A new password ends the user's sessions. */
export async function updateUser(sql: postgres.Sql, id: string, change: UserChange): Promise<User> {
  const email = change.email ? validEmail(change.email) : undefined;
  const { password, email_confirm: isConfirmed = false } = change;
  if (password !== undefined) requireStrong(password);
  const hash = password === undefined ? undefined : await hashPassword(sql, password);
  const userMetadata = { ...change.user_metadata, ...(isConfirmed && { email_verified: true }) };
  try {
    await transaction(sql, async (tx) => {
      await tx`select from auth.users where id = ${id} for update`;
      const before = await getUser(tx, id);
      await tx`
        update auth.users set
          role = ${change.role || before.role},
          email = ${email ?? tx`email`},
          encrypted_password = ${hash ?? tx`encrypted_password`},
          email_confirmed_at = ${isConfirmed ? tx`now()` : tx`email_confirmed_at`},
          raw_app_meta_data = ${tx.json(merge(before.app_metadata, change.app_metadata))},
          raw_user_meta_data = ${tx.json(merge(before.user_metadata, userMetadata))},
          updated_at = now()
        where id = ${id}`;
      if (hash) await tx`delete from auth.sessions where user_id = ${id}`;
      if (email) {
        await tx`delete from auth.identities where user_id = ${id} and provider = 'email'`;
        await insertEmailIdentity(tx, id, email, isConfirmed);
      }
    });
  } catch (error) {
    throw failure("Error updating user", error);
  }
  return await getUser(sql, id);
}

export async function deleteUser(sql: postgres.Sql, id: string): Promise<void> {
  const { count } = await sql`delete from auth.users where id = ${id}`.catch((error) => {
    throw failure("Database error deleting user", error);
  });
  if (count === 0) throw new AuthError(404, "user_not_found", "User not found");
}

function selectUser(sql: postgres.ISql<Record<never, never>>): postgres.PendingQuery<postgres.Row[]> {
  return sql`
    select u.*, coalesce(i.identities, '[]') as identities
    from auth.users u
    left join lateral (
      select jsonb_agg(i order by i.created_at) as identities from auth.identities i where i.user_id = u.id
    ) i on true`;
}

async function insertEmailIdentity(
  tx: postgres.TransactionSql,
  userId: string,
  email: string,
  isVerified: boolean,
): Promise<void> {
  const data = { sub: userId, email, email_verified: isVerified, phone_verified: false };
  await tx`
    insert into auth.identities (provider, provider_id, user_id, identity_data)
    values ('email', ${userId}, ${userId}, ${tx.json(data)})`;
}

async function hashPassword(sql: postgres.Sql, password: string): Promise<string> {
  if (new TextEncoder().encode(password).length > 72) throw invalid("bcrypt: password length exceeds 72 bytes");
  const [row] = await sql`select extensions.crypt(${password}, extensions.gen_salt('bf', 10)) as hash`;
  return row!.hash;
}

function requireStrong(password: string): void {
  if (password.length >= 6) return;
  const details = { weak_password: { reasons: ["length"] } };
  throw new AuthError(422, "weak_password", "Password should be at least 6 characters.", details);
}

function validEmail(text: string): string {
  const email = z.email({ pattern: z.regexes.html5Email }).safeParse(text.toLowerCase());
  if (!email.success) throw invalid("Unable to validate email address: invalid format");
  return email.data;
}

function merge(before: Json, changes: Json = {}): Json {
  return Object.fromEntries(Object.entries({ ...before, ...changes }).filter(([, value]) => value !== null));
}

function failure(message: string, cause: unknown): AuthError {
  if (cause instanceof AuthError) return cause;
  console.error(cause);
  return new AuthError(500, "unexpected_failure", message);
}

function toUser(row: UserRow) {
  const { id, aud, role, email_confirmed_at, confirmed_at, last_sign_in_at, created_at, updated_at } = row;
  return {
    ...{ id, aud, role, email: row.email ?? "", phone: row.phone ?? "" },
    ...(email_confirmed_at && { email_confirmed_at }),
    ...(confirmed_at && { confirmed_at }),
    ...(last_sign_in_at && { last_sign_in_at }),
    app_metadata: row.raw_app_meta_data ?? {},
    user_metadata: row.raw_user_meta_data ?? {},
    identities: row.identities.map(({ id, provider_id, ...identity }) => ({
      ...{ identity_id: id, id: provider_id },
      ...identity,
    })),
    ...{ created_at, updated_at, is_anonymous: row.is_anonymous },
  };
}
