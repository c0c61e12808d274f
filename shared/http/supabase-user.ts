import { isAuthRetryableFetchError, type SupabaseClient } from "@supabase/supabase-js";
import { musterError } from "../errors.ts";

/** Asks Supabase Auth whose token this is; null when it is nobody's. */
export function supabaseUser(client: SupabaseClient): (token: string) => Promise<string | null> {
  return async (token) => {
    const { data, error } = await client.auth.getUser(token);
    if (error === null) return data.user.id;
    if (isAuthRetryableFetchError(error) || (error.status ?? 0) >= 500) {
      throw musterError("unavailable", "Cannot check the user's token: Auth cannot be reached", { cause: error });
    }
    return null;
  };
}
