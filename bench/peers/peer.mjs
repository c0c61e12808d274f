// A process that drives one of the systems Muster is measured beside: `node peer.mjs SYSTEM MODE URL`. It reads commands
// from its input, a line of JSON each, and writes an answer a line, with the processor time that it took here.
import process from "node:process";
import { createInterface } from "node:readline";
import { createGraphile } from "./graphile.mjs";
import { createPgBoss } from "./pg-boss.mjs";

const [system, mode, url] = process.argv.slice(2);
const peer = system === "graphile" ? await createGraphile(url, mode) : await createPgBoss(url);
console.log("{}");
for await (const line of createInterface({ input: process.stdin })) {
  const { kind, ...args } = JSON.parse(line);
  if (kind === "close") break;
  const before = process.cpuUsage();
  const answer = await peer[kind](args);
  const { user, system } = process.cpuUsage(before);
  console.log(JSON.stringify({ ...answer, clientCpuMs: (user + system) / 1000 }));
}
await peer.close();
process.exit();
