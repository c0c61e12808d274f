/**
 * `npm run deploy:check`: deploys this tree against stand-ins of the platform and runs what was uploaded.
 *
 *   npm run deploy:check                    a line a check; exit code 1 if anything is wrong
 *   npm run deploy:check -- --json          the same as one JSON object
 *   npm run deploy:check -- --write-types   writes docs/database.types.ts anew instead
 */
import { parseArgs } from "node:util";
import { writeTypes } from "./write-types.ts";
import { deployCheck, type Finding } from "./deploy-check.ts";

const { values } = parseArgs({
  args: Deno.args,
  options: { json: { type: "boolean", default: false }, "write-types": { type: "boolean", default: false } },
});

if (values["write-types"]) {
  await writeTypes();
  Deno.exit(0);
}
const findings: Finding[] = [];
const ok = await deployCheck((finding) => {
  findings.push(finding);
  if (!values.json) console.log(line(finding));
});
if (values.json) console.log(JSON.stringify({ ok, findings }, null, 2));
else {console.log(
    ok ? "\nThis tree can be deployed" : `\n${findings.filter((finding) => !finding.ok).length} checks failed`,
  );}
Deno.exit(ok ? 0 : 1);

function line({ name, ok, detail, seconds }: Finding): string {
  return `${ok ? "ok  " : "FAIL"}  ${name}  (${seconds.toFixed(1)} s)\n      ${detail.replaceAll("\n", "\n      ")}`;
}
