import { join } from "node:path";
import type { ManagementApi } from "./management-api.ts";
import { type CliResult, supabase } from "./supabase-cli.ts";

/** Runs `supabase functions deploy` on a project, against a stand-in of the Management API. */
export async function deployFunctions(
  project: { readonly root: string },
  api: Pick<ManagementApi, "url" | "projectRef" | "accessToken">,
  ...names: string[]
): Promise<CliResult> {
  return await supabase(
    project.root,
    [
      ...["functions", "deploy", ...names, "--use-api", "--yes", `--remote=${api.projectRef}`],
      ...["--profile", await writeProfile(project, api)],
    ],
    { accessToken: api.accessToken },
  );
}

/** Writes the profile that points the CLI at a stand-in, and answers its path. */
export async function writeProfile(
  project: { readonly root: string },
  api: Pick<ManagementApi, "url">,
): Promise<string> {
  const profile = join(project.root, "profile.yaml");
  const lines = [`name: stand-in`, `api_url: ${api.url}`, `dashboard_url: ${api.url}`, `project_host: localhost`];
  await Deno.writeTextFile(profile, lines.join("\n") + "\n");
  return profile;
}
