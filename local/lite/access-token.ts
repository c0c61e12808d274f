import { decodeJwt, type JWTPayload, SignJWT } from "jose";

type Session = { access_token: string; user: Record<"phone" | "app_metadata" | "user_metadata", unknown> };

const issuing = /^\/auth\/v1\/(token|signup|verify)$/;

/** Gives a token that lite issues the claims it leaves out and policies read: metadata, issuer, assurance level. */
export async function completeToken(
  request: Request,
  answer: Response,
  { jwtSecret, url }: { jwtSecret: string; url: string },
): Promise<Response> {
  if (request.method !== "POST" || !answer.ok || !issuing.test(new URL(request.url).pathname)) return answer;
  const session: Partial<Session> = await answer.json();
  const headers = new Headers(answer.headers);
  headers.delete("content-length");
  // A sign-up that has to be confirmed is answered with the user alone.
  if (session.access_token && session.user) {
    const { phone, app_metadata, user_metadata } = session.user;
    const claims: JWTPayload = {
      iss: `${url}/auth/v1`,
      ...decodeJwt(session.access_token),
      ...{ phone, app_metadata, user_metadata, aal: "aal1", is_anonymous: false },
    };
    session.access_token = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .sign(new TextEncoder().encode(jwtSecret));
  }
  return Response.json(session, { status: answer.status, headers });
}
