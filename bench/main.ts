import process from "node:process";
import { latency } from "./latency.ts";

const benches: Record<string, { about: string; run: () => Promise<void> }> = {
  latency: {
    about: "from submit to handler start and to result, Realtime on and off; start times and memory",
    run: latency,
  },
};

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in benches));
if (names.length === 0 || unknown.length > 0) {
  for (const name of unknown) if (!name.startsWith("-")) console.error(`There is no bench "${name}"`);
  console.log(
    `npm run bench -- NAME…\n\n${
      Object.entries(benches).map(([name, { about }]) => `  ${name.padEnd(10)} ${about}`).join("\n")
    }`,
  );
  process.exit(unknown.some((name) => !name.startsWith("-")) ? 2 : 0);
}
for (const name of names) await benches[name]!.run();
process.exit();
