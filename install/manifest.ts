import { createHash } from "node:crypto";
import { z } from "zod";
import { UsageError } from "../shared/usage-error.ts";

/** What was written into a project, so that an update knows which files are ours and unchanged. */
export const Manifest = z.object({
  version: z.string().describe("Of the Muster that was installed"),
  files: z.record(z.string(), z.string()).describe("SHA-256 of each file with LF line ends, by path below supabase"),
  config: z.object({
    block: z.string(),
    lead: z.string(),
    schemas: z.enum(["element", "line", "section", "present"]),
  }).describe("What was done to config.toml"),
});
export type Manifest = z.infer<typeof Manifest>;

export function readManifest(text: string): Manifest {
  try {
    return Manifest.parse(JSON.parse(text));
  } catch {
    throw new UsageError("Cannot read supabase/muster/manifest.json: restore it from version control");
  }
}

/** The same for a text with either line ends: version control may change them. */
export function hashOf(text: string): string {
  return createHash("sha256").update(text.replaceAll("\r\n", "\n")).digest("hex");
}
