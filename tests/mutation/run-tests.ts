/** How the tests of a file ended. */
export interface Ended {
  readonly passed: boolean;
  /** The first test that failed, or what happened instead. */
  readonly failure: string;
  readonly seconds: number;
  readonly output: string;
}

/** A breakage may make a test wait for ever: then the end of its time is how it is noticed. */
const longestMs = 240_000;

/** Runs the tests of one file of the tree at `root`, up to the first that fails. */
export function runTests(root: string, file: string, environment: Readonly<Record<string, string>>): Promise<Ended> {
  return run(root, ["test", "--allow-all", "--no-check", "--fail-fast", file], environment);
}

/** Whether the broken tree still starts: its migrations apply, or its modules load with the right types. */
export function probe(root: string, file: string, environment: Readonly<Record<string, string>>): Promise<Ended> {
  const isSql = file.endsWith(".sql");
  return run(
    root,
    isSql ? ["run", "--allow-all", "--no-check", "tests/mutation/migrates.ts"] : ["check", file],
    environment,
  );
}

async function run(root: string, args: string[], environment: Readonly<Record<string, string>>): Promise<Ended> {
  const startedAt = performance.now();
  const timeout = AbortSignal.timeout(longestMs);
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: root,
    env: { ...environment, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
    signal: timeout,
  }).output();
  const output = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const failed = /^(.+?) \.\.\..* ?FAILED/m.exec(output)?.[1] ?? /^(.+?) => \.\/.+$/m.exec(output)?.[1];
  return {
    passed: success,
    failure: timeout.aborted ? `no end within ${longestMs / 1000} s` : failed?.trim() ?? "no test ran",
    seconds: (performance.now() - startedAt) / 1000,
    output,
  };
}
