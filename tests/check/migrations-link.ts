import { join } from "node:path";
import type { Check } from "./check.ts";

/** The CLI applies supabase/migrations. Git on Windows checks a link out as a small text file unless told otherwise. */
export const migrationsLink: Check = {
  name: "supabase/migrations is ../migrations",
  run: async (root) => {
    const [linked, own] = await Promise.all(
      ["supabase/migrations", "migrations"].map((path) => Deno.realPath(join(root, path)).catch(() => undefined)),
    );
    if (own !== undefined && linked === own) return [];
    return ["supabase/migrations does not lead to migrations: git config core.symlinks true, then check it out again"];
  },
};
