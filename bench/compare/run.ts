import { join } from "node:path";
import { allOf, noResults, type Results } from "./outcome.ts";
import { type Part, partNames } from "./parts.ts";
import { drawPlots } from "./plots.ts";
import { reportOf, withResults } from "./report.ts";
import type { Sizes } from "./sizes.ts";
import { UsageError } from "../../shared/usage-error.ts";

/** What all parts of a run have in common; they can be measured on several days, but not on unlike servers. */
export type Circumstances = {
  mode: "full" | "quick";
  machine: string;
  postgres: string;
  /** What the server was told and says of itself. */
  settings: Record<string, string>;
  peers: Record<string, string>;
  sizes: Sizes;
};

/** When and how a part was measured. */
export type PartRun = {
  date: string;
  commit: string;
  minutes: number;
  /** Of the last minute, before the part and after it. */
  load: [before: number, after: number];
  /** Null while it is being measured, and for ever if it was cut off. */
  end: "complete" | `failed: ${string}` | null;
};

type Stored = { about: Circumstances; parts: Partial<Record<Part, PartRun & Results>> };

/**
 * A run and where it is kept: results.json, report.md, the plots, and the page whose marks it stands between, if there is
 * one in the folder. All of it is written whenever there is something new, so what is cut leaves what it had.
 */
export class Run {
  readonly #folder: string;
  readonly #stored: Stored;
  /** One write after the other. */
  #writing: Promise<void> = Promise.resolve();

  private constructor(folder: string, stored: Stored) {
    this.#folder = folder;
    this.#stored = stored;
  }

  /** A new one, or one that goes on with what is in the folder: what was measured under other circumstances is not mixed. */
  static async open(folder: string, about: Circumstances, goOn: "no" | "if possible" | "surely"): Promise<Run> {
    await Deno.mkdir(join(folder, "plots"), { recursive: true });
    const text = goOn === "no"
      ? undefined
      : await Deno.readTextFile(join(folder, "results.json")).catch(() => undefined);
    const there: Stored | undefined = text && JSON.parse(text);
    if (there === undefined) return new Run(folder, { about, parts: {} });
    const another = (Object.keys(about) as (keyof Circumstances)[])
      .find((name) => JSON.stringify(about[name]) !== JSON.stringify(there.about[name]));
    if (another === undefined) return new Run(folder, there);
    if (goOn === "if possible") return new Run(folder, { about, parts: {} });
    throw new UsageError(`Cannot go on with the results in "${folder}": there, "${another}" is another`);
  }

  get results(): Results {
    return allOf(partNames.flatMap((part) => this.#stored.parts[part] ?? []));
  }

  get report(): string {
    const { about, parts } = this.#stored;
    return reportOf(this.results, about, partNames.map((name) => ({ name, run: parts[name] })));
  }

  /** Forgets what the part had. */
  begin(part: Part, run: PartRun): Results {
    const results = noResults();
    this.#stored.parts[part] = { ...run, ...results };
    return results;
  }

  change(part: Part, changes: Partial<PartRun>): void {
    Object.assign(this.#stored.parts[part]!, changes);
  }

  /** For a moment in which nothing is measured. */
  save(): Promise<void> {
    return this.#writing = this.#writing.then(() => this.#write());
  }

  async #write(): Promise<void> {
    await Deno.writeTextFile(join(this.#folder, "results.json"), JSON.stringify(this.#stored, null, 1) + "\n");
    const plots = drawPlots(this.results);
    for (const [name, text] of plots) await Deno.writeTextFile(join(this.#folder, "plots", name), text);
    const pictures = [...plots.keys()].map((name) => `![${name.replace(".svg", "")}](plots/${name})`).join("\n\n");
    const text = `${this.report}\n\n${pictures}`;
    const page = join(this.#folder, "README.md");
    const before = await Deno.readTextFile(page).catch(() => undefined);
    if (before === undefined) return await Deno.writeTextFile(join(this.#folder, "report.md"), text + "\n");
    await Deno.writeTextFile(page, withResults(before, text));
    // Its lines are wrapped as those of all documents are.
    await new Deno.Command(Deno.execPath(), { args: ["fmt", "--quiet", page], cwd: this.#folder }).output();
  }
}
