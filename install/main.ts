import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { UsageError } from "../shared/usage-error.ts";
import { remotesWithout } from "./config-edit.ts";
import { type Plan, planInstall, planRemoval, type Problem } from "./plan.ts";
import { carryOut, readState, supabaseFolder } from "./project.ts";
import { readSource, removalSql } from "./source.ts";

const help = `install:project: puts Muster into a Supabase project of yours, and keeps it up to date

Usage: npm run install:project -- <folder> [options]

The folder is the one that has supabase/config.toml in it. Muster's functions go to supabase/muster, its migrations to
supabase/migrations; config.toml gets a marked section and the schema muster. Nothing of yours is changed; what is there
of Muster and was changed by you is not overwritten.

Options:
  --dry-run        Only say what would be done
  --force          Overwrite or remove files of Muster that were changed here; never a migration or a file of yours
  --remove         Take Muster out of the folder again
  --removal-sql    Print the SQL that takes Muster out of a database
  --help           Print this text

See docs/guides/deploy.md.`;

const explanations: Record<Problem["reason"], string> = {
  "collision":
    "These have names that Muster needs. The path of a function is part of Muster's protocol, so it cannot have another: " +
    "rename yours, or give Muster a project of its own.",
  "not ours": "These exist and were not written by this command. Move them away first.",
  "changed here": "These were changed since they were installed. Undo that, or give them up with --force.",
  "migration changed":
    "These migrations were installed with another text. A database that has applied them would not get the change: before " +
    "its first release Muster's migrations are edited in place. Where a database has them, take Muster out of it first " +
    "(supabase/muster/remove.sql; its data is lost); then --remove, and install again.",
};

const afterRemoval = `
Muster is out of this folder. Databases and functions that were deployed are as they were: docs/guides/deploy.md says how
to take it out of them; \`npm run install:project -- --removal-sql\` prints the SQL.`;

const root = resolve(import.meta.dirname!, "..");

try {
  Deno.exit(await main(Deno.args));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  Deno.exit(2);
}

/** Answers the exit code: 0 done, 1 refused because of what is there, 2 not understood. */
async function main(args: string[]): Promise<number> {
  const { values, positionals } = parsed(args);
  if (values.help) {
    console.log(help);
    return 0;
  }
  if (values["removal-sql"]) {
    console.log(await removalSql(root));
    return 0;
  }
  const [dir, ...others] = positionals;
  if (dir === undefined || others.length > 0) {
    throw new UsageError(`Cannot install: name the folder of one project\n\n${help}`);
  }
  // npm starts scripts in this tree; the folder is meant from where npm was started.
  const supabase = await supabaseFolder(resolve(Deno.env.get("INIT_CWD") ?? ".", dir), root);
  const source = await readSource(root);
  const state = await readState(supabase, source);
  const { force, remove } = values;
  if (remove && !state.manifest) {
    throw new UsageError(`Cannot remove Muster from ${supabase}: it is not installed there`);
  }

  const plan = remove && state.manifest
    ? planRemoval({ ...state, manifest: state.manifest }, { force })
    : planInstall(source, state, { force });
  if (plan.problems.length > 0) {
    console.error(explain(plan.problems));
    return 1;
  }
  const isSame = plan.write.size === 0 && plan.remove.length === 0 && plan.config === undefined &&
    JSON.stringify(plan.manifest) === JSON.stringify(state.manifest);
  if (isSame) {
    console.log(`Nothing to do: Muster ${source.version} is installed in ${supabase}`);
    return 0;
  }
  console.log(changes(plan, state.files));
  if (values["dry-run"]) {
    console.log("\nNothing was changed: this was a dry run");
    return 0;
  }
  await carryOut(plan, supabase);
  console.log(remove ? afterRemoval : afterInstall(remotesWithout(plan.config ?? state.config)));
  return 0;
}

function parsed(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        "dry-run": { type: "boolean", default: false },
        force: { type: "boolean", default: false },
        remove: { type: "boolean", default: false },
        "removal-sql": { type: "boolean", default: false },
        help: { type: "boolean", short: "h", default: false },
      },
      allowPositionals: true,
    });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : error}\n\n${help}`);
  }
}

function changes({ write, remove, config }: Plan, present: ReadonlyMap<string, string>): string {
  const lines = [
    ...[...write.keys()].map((path) => `${present.has(path) ? "change" : "add   "}  supabase/${path}`),
    ...remove.map((path) => `remove  supabase/${path}`),
    ...(config === undefined ? [] : ["change  supabase/config.toml"]),
  ];
  return lines.join("\n");
}

function explain(problems: readonly Problem[]): string {
  const byReason = Map.groupBy(problems, ({ reason }) => reason);
  const parts = [...byReason].map(([reason, list]) =>
    `${explanations[reason]}\n${list.map(({ what }) => `  ${what}`).join("\n")}`
  );
  return `Cannot go on; nothing was changed.\n\n${parts.join("\n\n")}`;
}

function afterInstall(remotes: readonly string[]): string {
  const hint = remotes.map((name) => `\nAlso add "muster" to schemas of [remotes.${name}.api] in config.toml.`);
  return `
Muster is installed.${hint.join("")} Next, in that folder (docs/guides/deploy.md has every step):

  npx supabase db push --include-all
  npx supabase secrets set MUSTER_JWT_SECRET=… MUSTER_MASTER_KEYS=…
  npx supabase functions deploy --use-api
  npx supabase config diff     # then config push, or add muster to the exposed schemas in the dashboard`;
}
