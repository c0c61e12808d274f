import { type Context, Hono } from "hono";
import { errors, jwtVerify } from "jose";
import { lasting } from "../lasting-sql.ts";
import postgres from "postgres";
import { z } from "zod";
import { AuthError, invalid } from "./auth-errors.ts";
import { createUser, deleteUser, getUser, listUsers, updateUser, UserChange } from "./auth-users.ts";

export type AuthAdmin = { fetch(request: Request): Response | Promise<Response>; stop(): Promise<void> };
export type AuthAdminOptions = { dbUrl: string; jwtSecret: string };

const adminRoles = ["service_role", "supabase_admin"];
const Page = z.object({
  page: z.coerce.number().int().positive().default(1),
  per_page: z.coerce.number().int().positive().default(50),
});

/**
 * The part of Auth that works on users with the secret key, which lite does not have: create, list, get, update and
 * delete. Users have an email here: phones, bans and soft deletion are refused, not ignored.
 */
export function createAuthAdmin({ dbUrl, jwtSecret }: AuthAdminOptions): AuthAdmin {
  const sql = postgres(dbUrl, { ...lasting, max: 2, idle_timeout: 30, onnotice: () => {} });
  const app = new Hono().basePath("/auth/v1/admin");
  app.onError((error) => {
    if (error instanceof AuthError) return error.toResponse();
    console.error(error);
    return new AuthError(500, "unexpected_failure", "Unexpected failure, please check server logs for more information")
      .toResponse();
  });
  app.use(async (c, next) => {
    await requireAdmin(c.req.header("authorization"), jwtSecret);
    await next();
  });

  app.get("/users", async (c) => {
    const page = Page.safeParse(c.req.query());
    if (!page.success) throw invalid(`Bad Pagination Parameters: ${page.error.issues[0]!.message}`);
    const { users, total } = await listUsers(sql, page.data);
    const last = Math.ceil(total / page.data.per_page);
    const link = (number: number, rel: string) => {
      const url = new URL(c.req.url);
      url.searchParams.set("page", String(number));
      return `<${url.pathname}${url.search}>; rel="${rel}"`;
    };
    c.header("link", [...(last > page.data.page ? [link(page.data.page + 1, "next")] : []), link(last, "last")].join());
    c.header("x-total-count", String(total));
    return c.json({ users, aud: "authenticated" });
  });
  app.post("/users", async (c) => c.json(await createUser(sql, await readChange(c))));
  app.get("/users/:id", async (c) => c.json(await getUser(sql, readId(c))));
  app.put("/users/:id", async (c) => c.json(await updateUser(sql, readId(c), await readChange(c))));
  app.delete("/users/:id", async (c) => {
    const text = await c.req.text();
    if (text !== "" && parseJson(text).should_soft_delete) throw notHere("should_soft_delete");
    await deleteUser(sql, readId(c));
    return c.json({});
  });

  return { fetch: (request) => app.fetch(request), stop: () => sql.end({ timeout: 1 }) };
}

async function requireAdmin(authorization: string | undefined, jwtSecret: string): Promise<void> {
  const token = /^Bearer\s+(\S+)$/i.exec(authorization ?? "")?.[1];
  if (!token) throw new AuthError(401, "no_authorization", "This endpoint requires a valid Bearer token");
  const badToken = (reason: string) =>
    new AuthError(403, "bad_jwt", `invalid JWT: unable to parse or verify signature, ${reason}`);
  const { payload } = await jwtVerify(token, new TextEncoder().encode(jwtSecret), { algorithms: ["HS256"] })
    .catch((error) => {
      if (error instanceof errors.JWTExpired) throw badToken("token has invalid claims: token is expired");
      if (error instanceof errors.JWSSignatureVerificationFailed) {
        throw badToken("token signature is invalid: signature is invalid");
      }
      throw badToken(
        token.split(".").length === 3
          ? "token is malformed: could not JSON decode header"
          : "token is malformed: token contains an invalid number of segments",
      );
    });
  if (!adminRoles.includes(String(payload.role))) throw new AuthError(403, "not_admin", "User not allowed");
}

async function readChange(c: Context): Promise<UserChange> {
  const parsed = UserChange.safeParse(parseJson(await c.req.text()));
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    throw new AuthError(400, "bad_json", `Could not parse request body as JSON: ${issue!.path}: ${issue!.message}`);
  }
  const { phone, phone_confirm, ban_duration, ...change } = parsed.data;
  if (phone || phone_confirm) throw notHere("phone");
  if (ban_duration && ban_duration !== "none") throw notHere("ban_duration");
  return change;
}

function parseJson(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text));
  } catch (error) {
    throw new AuthError(400, "bad_json", `Could not parse request body as JSON: ${(error as Error).message}`);
  }
}

function readId(c: Context): string {
  const id = z.guid().safeParse(c.req.param("id"));
  if (!id.success) throw new AuthError(404, "validation_failed", "user_id must be an UUID");
  return id.data;
}

const notHere = (field: string) => invalid(`${field} is not supported by the local Auth`);
