// A function that tries everything the hosted runtime refuses. It is deployed like the real ones, so that a check which
// lets any of it through shows.
import { writeFileSync } from "node:fs";
import "node:worker_threads";

const attempts: Record<string, () => unknown> = {
  "write outside /tmp": () => Deno.writeTextFileSync("/planted-by-a-test", "x"),
  "write outside /tmp through node": () => writeFileSync("/planted-by-a-test", "x"),
  "write beside its own files": () => Deno.writeTextFileSync(new URL("planted.txt", import.meta.url), "x"),
  "read a file of the machine": () => Deno.readTextFileSync("/etc/passwd"),
  "start a process": () => new Deno.Command("/bin/sh").outputSync(),
  "start a web worker": () => new Worker("data:text/javascript,0", { type: "module" }),
  "load a library": () => Deno.dlopen("libc.so.6", {}),
  "learn the machine's name": () => Deno.hostname(),
  "write to /tmp": () => {
    const file = Deno.makeTempFileSync({ dir: "/tmp" });
    Deno.writeTextFileSync(file, "x");
    Deno.removeSync(file);
  },
  "read its environment": () => Deno.env.toObject(),
};

Deno.serve((request) => {
  if (new URL(request.url).pathname.endsWith("/page")) {
    return new Response("<b>bold</b>", { headers: { "content-type": "text/html; charset=utf-8" } });
  }
  const outcomes = Object.entries(attempts).map(([name, attempt]) => {
    try {
      attempt();
      return [name, "done"];
    } catch (error) {
      return [name, error instanceof Error ? `${error.name}: ${error.message}` : String(error)];
    }
  });
  return Response.json(Object.fromEntries(outcomes));
});
