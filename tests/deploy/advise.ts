import assert from "node:assert/strict";
import { z } from "zod";
import { remoteFlag } from "./database.ts";
import { copyProject } from "./project-copy.ts";
import { supabaseOk } from "./supabase-cli.ts";

const Findings = z.array(z.object({ name: z.string(), detail: z.string() }));
export type Finding = z.infer<typeof Findings>[number];

/** What `supabase db advisors` has to say of a database, from its lowest level on. */
export async function advise(url: string): Promise<Finding[]> {
  await using project = await copyProject();
  const { stdout, stderr } = await supabaseOk(
    project.root,
    ["db", "advisors", "--level", "info", "--fail-on", "none", "-o", "json", remoteFlag(url)],
  );
  // Without findings the CLI prints a sentence instead of an empty list.
  if (stdout.trim() === "") assert.match(stderr, /No issues found/);
  return Findings.parse(JSON.parse(stdout.trim() || "[]"));
}

/** The same without what a database that nobody has used yet cannot help. */
export async function adviseOnSchema(url: string): Promise<string[]> {
  const findings = (await advise(url)).filter(({ name }) => name !== "unused_index");
  return findings.map(({ name, detail }) => `${name}: ${detail}`);
}
