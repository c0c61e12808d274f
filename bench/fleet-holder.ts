// A process that holds many workers, each with a token, a socket and heartbeats of its own. It is told what to do by lines
// of JSON on its standard input, and answers each with one.
import { createInterface } from "node:readline";
import process from "node:process";
import { Worker } from "../worker/index.ts";
import type { Counts, HolderCommand, HolderReport, HolderSettings } from "./fleet-protocol.ts";

const settings: HolderSettings = JSON.parse(process.argv[2] ?? "{}");
const workers: Worker[] = [];
const lastListened = new Map<Worker, number>();
let seen = nothingSeen();

function nothingSeen(): Counts {
  return { calls: {}, answeredBytes: 0, frames: {}, sent: {}, joined: [], lost: {}, started: [] };
}

function now(): number {
  return performance.timeOrigin + performance.now();
}

/** The event of a text frame: its fourth part. */
function eventOf(frame: string): string {
  return /^\[[^,]*,[^,]*,"[^"]*","([^"]*)"/.exec(frame)?.[1] ?? "other";
}

/** Counts what goes over the sockets; the client looks this name up when it connects. */
class CountingWebSocket extends WebSocket {
  constructor(...args: ConstructorParameters<typeof WebSocket>) {
    super(...args);
    this.addEventListener("message", ({ data }) => {
      const isText = typeof data === "string";
      const name = isText ? eventOf(data) : "broadcast";
      const frames = seen.frames[name] ??= { count: 0, bytes: 0 };
      frames.count += 1;
      frames.bytes += isText ? data.length : data?.byteLength ?? 0;
    });
  }

  override send(data: Parameters<WebSocket["send"]>[0]): void {
    const name = typeof data === "string" ? eventOf(data) : "broadcast";
    seen.sent[name] = (seen.sent[name] ?? 0) + 1;
    super.send(data);
  }
}
globalThis.WebSocket = CountingWebSocket;

async function start(count: number, perSecond: number): Promise<void> {
  const began = now();
  for (let n = 0; n < count; n++) {
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, began + n * 1000 / perSecond - now())));
    void startOne();
  }
}

async function startOne(): Promise<void> {
  const worker: Worker = new Worker({
    ...{ url: settings.url, enrollmentToken: settings.token, name: `${settings.name}-${workers.length}` },
    capabilities: ["bench/fleet"],
    fetch: async (input, init) => {
      const name = String(input).replace(/^.*\/rest\/v1\/rpc\/|^.*(?=\/functions\/v1\/)|\?.*$/g, "");
      seen.calls[name] = (seen.calls[name] ?? 0) + 1;
      const answer = await fetch(input, init);
      const body = await answer.clone().arrayBuffer();
      seen.answeredBytes += body.byteLength;
      return answer;
    },
    log: ({ event, message }) => {
      if (event === "realtime.listening") lastListened.set(worker, now());
      else if (event === "channel.joined") seen.joined.push(now());
      else if (event === "channel.lost") {
        const reason = message.replace(/^.* (?=[A-Z_]{5,}(:|$))/, "");
        seen.lost[reason] = (seen.lost[reason] ?? 0) + 1;
      }
    },
  });
  workers.push(worker);
  worker.handle("bench.now", () => ({ startedAt: now() }));
  worker.handle("bench.hold", async (job) => {
    seen.started.push({ jobId: job.id, attempt: job.attempt, at: now() });
    // Those that are to vanish hold their jobs for good; who takes one over is done at once.
    if (settings.holds) await new Promise((resolve) => job.signal.addEventListener("abort", resolve, { once: true }));
    return {};
  });
  await worker.start();
}

for await (const line of createInterface({ input: process.stdin })) {
  const command: HolderCommand = JSON.parse(line);
  if (command.kind === "start") await start(command.count, command.perSecond);
  const report: HolderReport = { ...seen, listened: [...lastListened.values()] };
  seen = nothingSeen();
  console.log(JSON.stringify(report));
}
// Whoever started it is gone.
process.exit();
