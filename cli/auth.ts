import { isAuthApiError, type SupabaseClient } from "@supabase/supabase-js";
import { base64url } from "jose";
import { musterError } from "../shared/errors.ts";

/** What commands do in Supabase Auth, with the secret key. */
export interface Auth {
  /** Makes a user with a confirmed address and a random password. */
  createUser(email: string): Promise<{ id: string; password: string }>;
  deleteUser(id: string): Promise<void>;
}

export function createAuth(client: SupabaseClient): Auth {
  return {
    async createUser(email) {
      const password = randomPassword();
      const { data, error } = await client.auth.admin.createUser({ email, password, email_confirm: true });
      if (error === null) return { id: data.user.id, password };
      if (isAuthApiError(error) && error.code === "email_exists") {
        throw musterError("conflict", `Cannot make a user of Supabase Auth with the address "${email}": it is taken`, {
          advice: "Whoever signed up with it must confirm the address first",
        });
      }
      const code = isAuthApiError(error) && error.status < 500 ? "invalid_request" : "unavailable";
      throw musterError(code, `Cannot make a user of Supabase Auth: ${error.message}`, { cause: error });
    },
    async deleteUser(id) {
      const { error } = await client.auth.admin.deleteUser(id);
      if (error !== null) throw musterError("unavailable", `Cannot delete user ${id}: ${error.message}`);
    },
  };
}

/** 24 random bytes; its end has one of every kind of character that the rules of a project can ask for. */
function randomPassword(): string {
  return `${base64url.encode(crypto.getRandomValues(new Uint8Array(24)))}-aA1!`;
}
