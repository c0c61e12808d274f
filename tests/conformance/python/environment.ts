import { createHash } from "node:crypto";
import { join, resolve } from "node:path";

const repository = resolve(import.meta.dirname!, "..", "..", "..");
const requirements = join(import.meta.dirname!, "requirements.txt");
// What the client's package asks for, and what venv needs: on Debian a package of its own.
const isUsable = "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))";

/** The name of a Python 3.11 or newer that can make virtual environments, where there is one. */
export async function findPython(): Promise<string | undefined> {
  for (const name of ["python3", "python"]) {
    const found = await run(name, ["-c", isUsable]).then(({ success }) => success, () => false);
    if (found) return name;
  }
  return undefined;
}

/** The interpreter of an environment with the pinned client, made once for each list of requirements. */
export async function pythonWithClient(python: string): Promise<string> {
  const hash = createHash("sha256").update(await Deno.readTextFile(requirements)).digest("hex").slice(0, 16);
  const folder = join(repository, ".muster", `python-client-${hash}`);
  const interpreter = (of: string) =>
    join(of, ...(Deno.build.os === "windows" ? ["Scripts", "python.exe"] : ["bin", "python"]));
  if (await exists(interpreter(folder))) return interpreter(folder);

  // Built beside and then renamed, so that a half-made one is never taken for whole, whoever else builds one.
  const building = `${folder}.${crypto.randomUUID().slice(0, 8)}`;
  await must(python, ["-m", "venv", building]);
  const quietly = ["--quiet", "--disable-pip-version-check"];
  await must(interpreter(building), ["-m", "pip", "install", ...quietly, "--require-hashes", "-r", requirements]);
  try {
    await Deno.rename(building, folder);
  } catch {
    // Another run was faster, or an old one is in the way whose Python is gone.
    if (await exists(interpreter(folder))) await Deno.remove(building, { recursive: true });
    else {
      await Deno.remove(folder, { recursive: true });
      await Deno.rename(building, folder);
    }
  }
  return interpreter(folder);
}

async function must(command: string, args: string[]): Promise<void> {
  const { success, stdout, stderr } = await run(command, args);
  if (success) return;
  const output = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes)).join("\n").trim();
  throw new Error(`Cannot install the Python client: ${command} ${args.join(" ")}\n${output}`);
}

async function run(command: string, args: string[]): Promise<Deno.CommandOutput> {
  return await new Deno.Command(command, { args, stdout: "piped", stderr: "piped" }).output();
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
