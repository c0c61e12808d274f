import type { Caller } from "../auth/caller.ts";
import { makeSecret } from "../auth/secret.ts";
import type {
  CreatedEnrollmentToken,
  CreateEnrollmentToken,
  EnrollmentToken,
  EnrollmentTokenList,
  ListEnrollmentTokensQuery,
} from "../contracts/enrollment-tokens.ts";
import type { SqlCall } from "./sql-call.ts";

export interface EnrollmentTokensDb {
  /** Makes a token and sends its hash; the answer is the only place where the token is. */
  issueEnrollmentToken(caller: Caller, token: CreateEnrollmentToken): Promise<CreatedEnrollmentToken>;
  listEnrollmentTokens(caller: Caller, query: ListEnrollmentTokensQuery): Promise<EnrollmentTokenList>;
  /** It lets nobody in any more; the workers that it let in stay. */
  revokeEnrollmentToken(caller: Caller, tokenId: string): Promise<EnrollmentToken>;
}

export function createEnrollmentTokensDb(call: SqlCall): EnrollmentTokensDb {
  return {
    issueEnrollmentToken: async (caller, token) => {
      const { value, hash } = await makeSecret("enrollmentToken");
      const made = await call<EnrollmentToken>("issue_enrollment_token", { ...token, tokenHash: hash }, caller);
      return { ...made, enrollmentToken: value };
    },
    listEnrollmentTokens: (caller, { limit, cursor, usable }) =>
      call("list_enrollment_tokens", {
        filters: { usable: usable === "true" },
        pageSize: limit,
        cursor: cursor ?? null,
      }, caller),
    revokeEnrollmentToken: (caller, tokenId) => call("revoke_enrollment_token", { tokenId }, caller),
  };
}
