import { createHash } from "node:crypto";
import { resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { startLocalStack } from "../local/stack.ts";
import { createAdminDb } from "../shared/db/admin.ts";
import { createClients, createSqlCall } from "../shared/db/sql-call.ts";
import { type Job, MusterClient } from "../worker/index.ts";
import { Machines } from "./machines.ts";
import { duration, latencies, ran, type Row, table } from "./report.ts";
import { Screen } from "./screen.ts";

const help = `Shows Muster at work: a stack, three workers, and jobs that an app sends them over HTTPS.

  npm run demo
  npm run demo -- --brief      without the machine that dies
  npm run demo -- --project    on the project that SUPABASE_URL and SUPABASE_SECRET_KEY name

It takes free ports and a temporary folder, and leaves nothing behind. On a project it leaves a tenant "demo" with its
jobs. A wrong result, a lost job or a job that ended twice makes it fail.
`;

const batchSize = 200;
const countdownSeconds = 6;
const patienceSeconds = 60;
const readme = resolve(import.meta.dirname!, "..", "README.md");

const { values } = parseArgs({
  options: {
    help: { type: "boolean", short: "h" },
    project: { type: "boolean", default: false },
    brief: { type: "boolean", default: false },
  },
});
if (values.help) {
  console.log(help);
  process.exit(0);
}

const abort = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => abort.abort(new Error(`Stopped by ${signal}`)));
}

const screen = new Screen();
try {
  await show(abort.signal);
  process.exitCode = 0;
} catch (error) {
  const reason = abort.signal.aborted ? abort.signal.reason : error;
  console.error(`\nThe demo failed: ${reason instanceof Error ? reason.message : reason}`);
  process.exitCode = 1;
}
process.exit();

async function show(signal: AbortSignal): Promise<void> {
  const began = performance.now();
  screen.title(values.project ? "A project" : "A stack on this machine");
  await using stack = values.project
    ? projectOf(Deno.env.toObject())
    : await startLocalStack({ ephemeral: true, signal, log: () => {} });
  screen.done(`${stack.url} after ${duration(performance.now() - began)}`);

  const admin = createAdminDb(createSqlCall(createClients(stack)));
  const tenant = await admin.createTenant("demo");
  const { apiKey } = await admin.createApiKey({ tenantId: tenant.id, executorName: "demo app", expiresAt: null });
  const { enrollmentToken: token } = await admin.createEnrollmentToken({
    tenantId: tenant.id,
    name: "demo machines",
    capabilities: null,
    labels: {},
    maxUses: 3,
    expiresAt: null,
    ephemeral: true,
  });
  const app = new MusterClient({ url: stack.url, apiKey });

  screen.title("Three machines");
  await using machines = new Machines(await Deno.makeTempDir({ prefix: "muster-demo-" }), stack.url, token, signal);
  const began2 = performance.now();
  await machines.start({ atlas: ["compute/basic"], bolt: ["compute/basic"], vega: ["compute/basic", "gpu/cuda"] });
  screen.done(`atlas, bolt and vega enrolled and listen after ${duration(performance.now() - began2)}`);

  const rows: Row[] = [
    await addition(app, signal),
    await batch(app, signal),
    await digest(app, signal),
    await onlyOne(app, signal),
    ...(values.brief ? [] : [await takeover(app, machines, signal)]),
  ];
  const jobs = rows.flatMap((row) => row.jobs);
  await checkEnds(app, jobs);

  screen.title("What happened");
  console.log(table(rows));
  console.log(`\n${latencies(jobs)}`);
  console.log(
    `\n${jobs.length} jobs, each ended once, in ${duration(performance.now() - began)} with the start of everything`,
  );
}

/** The project that the environment names, which nobody has to stop. */
function projectOf(environment: Record<string, string>) {
  const { SUPABASE_URL: url, SUPABASE_SECRET_KEY: secretKey } = environment;
  if (!url || !secretKey) throw new Error("Cannot find a project: SUPABASE_URL and SUPABASE_SECRET_KEY must be set");
  return {
    url: url.replace(/\/+$/, ""),
    secretKey,
    publishableKey: secretKey,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function addition(app: MusterClient, signal: AbortSignal): Promise<Row> {
  screen.title("One job");
  const job = await finish(app, await app.submit({ type: "calc.add", payload: { a: 2, b: 3 } }), signal);
  expect(job, { sum: 5 });
  screen.done(`calc.add(2, 3) = 5, by ${job.workerName}`);
  return { label: "calc.add(2, 3)", jobs: [job] };
}

async function batch(app: MusterClient, signal: AbortSignal): Promise<Row> {
  screen.title(`A batch of ${batchSize}`);
  // Its own: a project may hold the batch of an earlier demo.
  const correlationId = `batch ${crypto.randomUUID()}`;
  const submitted = await app.submitMany(
    Array.from(
      { length: batchSize },
      (_, i) => ({ type: "calc.mul", payload: { a: i, b: 2 }, correlationId }),
    ),
  );
  for (let ended = 0; ended < batchSize;) {
    signal.throwIfAborted();
    const page = await app.list({ correlationId, status: ["succeeded", "failed", "cancelled"], limit: 200 });
    ended = page.jobs.length;
    screen.progress(ended / batchSize, `${ended} of ${batchSize} done`);
  }
  const jobs = await Promise.all(submitted.map(({ job }) => app.get(job.id)));
  jobs.forEach((job, i) => expect(job, { product: i * 2 }));
  const shares = Map.groupBy(jobs, (job) => job.workerName);
  if (shares.size < 3) throw new Error(`The batch was done by ${shares.size} of 3 workers`);
  screen.done([...shares].map(([name, of]) => `${name} ${of.length}`).sort().join(", "));
  return { label: `batch of ${batchSize}`, jobs };
}

async function digest(app: MusterClient, signal: AbortSignal): Promise<Row> {
  screen.title("A file there, a report back");
  const bytes = await Deno.readFile(readme);
  const input = await app.upload("README.md", bytes, { contentType: "text/markdown" });
  const job = await finish(app, await app.submit({ type: "file.digest", inputs: [input.id] }), signal);
  const text = new TextDecoder().decode(bytes);
  const wanted = {
    sha256: createHash("sha256").update(bytes).digest("hex"),
    bytes: bytes.length,
    lines: text.split("\n").length - (text.endsWith("\n") ? 1 : 0),
    words: text.split(/\s+/).filter(Boolean).length,
  };
  const { report: reportId } = job.result as { report: string };
  const report = JSON.parse(await (await app.download(reportId)).text());
  for (const [name, value] of Object.entries(wanted)) {
    if (report[name] !== value) throw new Error(`file.digest says ${name} ${report[name]}, it is ${value}`);
  }
  screen.done(`README.md has ${wanted.lines} lines and ${wanted.words} words, says the report from ${job.workerName}`);
  return { label: "digest of README.md", jobs: [job] };
}

async function onlyOne(app: MusterClient, signal: AbortSignal): Promise<Row> {
  screen.title("A job that one machine can do");
  const submitted = await app.submit({ type: "calc.add", payload: { a: 1, b: 1 }, requires: ["gpu/cuda"] });
  const job = await finish(app, submitted, signal);
  expect(job, { sum: 2 });
  if (job.workerName !== "vega") throw new Error(`${job.workerName} got a job that requires gpu/cuda`);
  screen.done("requires gpu/cuda, went to vega");
  return { label: "requires gpu/cuda", jobs: [job] };
}

async function takeover(app: MusterClient, machines: Machines, signal: AbortSignal): Promise<Row> {
  screen.title("A machine dies half way");
  const submitted = await app.submit({ type: "demo.countdown", payload: { seconds: countdownSeconds, steps: 20 } });
  let killed: { name: string; at: number } | undefined;
  for (;;) {
    signal.throwIfAborted();
    const job = await app.get(submitted.id);
    if (["succeeded", "failed", "cancelled"].includes(job.status)) {
      if (!killed) throw new Error("The long job ended before its worker was killed");
      expect(job, { steps: 20, attempt: 2 });
      if (job.workerName === killed.name) throw new Error("The killed worker finished its job");
      const noticed = Date.parse(job.startedAt!) - killed.at;
      screen.done(
        `${job.workerName} took over ${duration(noticed)} after the kill and finished in ${duration(ran(job))}`,
      );
      return { label: "countdown, killed", jobs: [job] };
    }
    if (job.status === "running" && job.workerName) {
      screen.progress(job.progress ?? 0, `attempt ${job.attempts} on ${job.workerName}`);
      if (!killed && (job.progress ?? 0) >= 0.5) {
        killed = { name: job.workerName, at: Date.now() };
        await machines.kill(job.workerName);
        screen.say(
          `kill -9 of ${job.workerName} at ${Math.round(job.progress! * 100)} %, now nobody tells the database`,
        );
      }
    } else if (killed) {
      screen.progress(0, `${job.status}, ${duration(Date.now() - killed.at)} after the kill`);
    }
    if (killed && Date.now() - killed.at > patienceSeconds * 1000) throw new Error("Nobody took the job over");
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function finish(app: MusterClient, job: Job, signal: AbortSignal): Promise<Job> {
  const ended = await app.wait(job.id, { timeoutSeconds: patienceSeconds, signal });
  if (!ended.ended) throw new Error(`Job ${job.id} is ${ended.status} after ${patienceSeconds} s`);
  return ended;
}

/** Every field that is wanted must be in the result, with that value. */
function expect(job: Job, wanted: Record<string, unknown>): void {
  if (job.status !== "succeeded") throw new Error(`Job ${job.id} ${job.status}: ${JSON.stringify(job.error)}`);
  const result = job.result as Record<string, unknown>;
  for (const [name, value] of Object.entries(wanted)) {
    if (result?.[name] !== value) {
      throw new Error(`Job ${job.id} answered ${JSON.stringify(result)}, not ${name} ${value}`);
    }
  }
}

// The events of a job are the witness: one end, and it is the last thing that happened.
async function checkEnds(app: MusterClient, jobs: Job[]): Promise<void> {
  for (const job of jobs) {
    const { events } = await app.events(job.id, { limit: 500 });
    const statuses = events.filter(({ kind }) => kind === "status").map(({ data }) =>
      (data as { status: string }).status
    );
    const ends = statuses.filter((status) => status === "succeeded" || status === "failed" || status === "cancelled");
    if (ends.length !== 1 || statuses.at(-1) !== "succeeded") {
      throw new Error(`Job ${job.id} ended ${ends.length} times: ${statuses.join(", ")}`);
    }
  }
}
