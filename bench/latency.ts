import { resolve } from "node:path";
import type { LocalStack } from "../local/stack.ts";
import type { MusterClient } from "../worker/index.ts";
import { startBenchStack } from "./bench-stack.ts";
import { createTenant } from "./bench-tenant.ts";
import { onInterrupt } from "./interrupt.ts";
import { listenNotify } from "./listen-notify.ts";
import { type Memory, memoryOf } from "./memory.ts";
import { heading, percentile, row } from "./statistics.ts";

const samples = 200;
const warmUps = 20;
const repository = resolve(import.meta.dirname!, "..");

export type Samples = { started: number[]; seen: number[] };

/** One idle worker, one job at a time: how long until the handler starts, and until the app sees the result. */
export async function latency(): Promise<void> {
  const dataDir = await Deno.makeTempDir({ prefix: "muster-bench-" });
  const inFolder = { dataDir, ephemeral: false, ports: { gateway: 0, database: 0 } };
  const removeData = () => Deno.remove(dataDir, { recursive: true }).catch(() => {});
  onInterrupt(removeData);
  try {
    const cold = performance.now();
    const first = await startBenchStack(inFolder);
    const withoutData = performance.now() - cold;
    await first.stop();

    const again = performance.now();
    await using stack = await startBenchStack(inFolder);
    const withData = performance.now() - again;
    // The launcher is this process: all that it started hangs below it, Postgres too.
    const atRest = await memoryOf([Deno.pid, ...Object.values(stack.pids)]);

    const yardstick = await listenNotify(stack.dbUrl, samples);
    const unit = percentile(yardstick, 0.5);
    const { app, token } = await createTenant(stack);
    const on = await withWorker(stack, token, [], () => measureLatency(app, samples, warmUps));
    const off = await withWorker(stack, token, ["--no-realtime"], () => measureLatency(app, samples, warmUps));
    const afterwards = await memoryOf([Deno.pid, ...Object.values(stack.pids)]);

    console.log(`\nOne idle worker, one job at a time, ${samples} samples; y is the yardstick's p50\n\n${heading}`);
    console.log(row("LISTEN/NOTIFY there and back (yardstick)", yardstick, unit));
    console.log(row("submit → handler start, Realtime on", on.started, unit));
    console.log(row("submit → result seen by the app, Realtime on", on.seen, unit));
    console.log(row("submit → handler start, Realtime off", off.started, unit));
    console.log(row("submit → result seen by the app, Realtime off", off.seen, unit));
    console.log(`
stack, cold start without data          ${(withoutData / 1000).toFixed(1)} s
stack, cold start with data             ${(withData / 1000).toFixed(1)} s
stack just started, resident            ${inMegabytes(atRest)}
stack after the run, resident           ${inMegabytes(afterwards)}
worker script after 220 jobs, resident  ${inMegabytes(on.worker)}
worker script, our code                 ${(await sourceBytes() / 1024).toFixed(0)} KB`);
  } finally {
    await removeData();
  }
}

function inMegabytes({ resident, proportional }: Memory): string {
  return `${resident.toFixed(0)} MB (with shared pages counted once: ${proportional.toFixed(0)} MB)`;
}

/** One job after the other, each once the app has seen the result of the one before. */
export async function measureLatency(app: MusterClient, samples: number, warmUps: number): Promise<Samples> {
  const result: Samples = { started: [], seen: [] };
  for (let i = -warmUps; i < samples; i++) {
    // The app and the worker run on one machine: their clocks are one.
    const began = performance.timeOrigin + performance.now();
    const { id } = await app.submit({ type: "bench.now" });
    const job = await app.wait(id, { timeoutSeconds: 30 });
    const seen = performance.timeOrigin + performance.now();
    if (job.status !== "succeeded") throw new Error(`Job ${id} is ${job.status}: ${JSON.stringify(job.error)}`);
    if (i < 0) continue;
    result.started.push((job.result as { startedAt: number }).startedAt - began);
    result.seen.push(seen - began);
  }
  return result;
}

/** Runs the worker script, and something meanwhile; answers that, with the worker's memory at its end. */
export async function withWorker<T extends object>(
  stack: LocalStack,
  token: string,
  args: string[],
  run: () => Promise<T>,
): Promise<T & { worker: Memory }> {
  const identity = await Deno.makeTempFile();
  await Deno.remove(identity);
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      // As npm run worker does it.
      ...["run", "--allow-all", "--no-check", "--v8-flags=--max-semi-space-size=2,--optimize-for-size"],
      ...[resolve(repository, "worker", "cli.ts"), "--url", stack.url],
      ...[
        "--identity",
        identity,
        "--handlers",
        resolve(repository, "bench", "handlers"),
        "--log-format",
        "json",
        ...args,
      ],
    ],
    env: { MUSTER_TOKEN: token },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const kill = () => {
    child.kill("SIGKILL");
    return child.status;
  };
  const forget = onInterrupt(kill);
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (let text = ""; !text.includes('"worker.online"');) {
      const { value, done } = await lines.read();
      if (done) throw new Error("The worker ended at once");
      text += value;
    }
    const drained = (async () => {
      while (!(await lines.read()).done);
    })();
    const times = await run();
    const worker = await memoryOf([child.pid]);
    child.kill("SIGTERM");
    await drained;
    return { ...times, worker };
  } catch (error) {
    await kill();
    throw error;
  } finally {
    await child.status;
    forget();
    await Deno.remove(identity).catch(() => {});
  }
}

/** What the worker script is made of, npm packages left out. */
async function sourceBytes(): Promise<number> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", resolve(repository, "worker", "cli.ts")],
    cwd: repository,
  }).output();
  const modules: { specifier: string; size?: number }[] = JSON.parse(new TextDecoder().decode(stdout)).modules;
  return modules.filter(({ specifier }) => specifier.startsWith("file:") && !specifier.includes("/node_modules/"))
    .reduce((sum, { size }) => sum + (size ?? 0), 0);
}
