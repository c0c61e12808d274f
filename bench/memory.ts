/** In MB: resident as `ps` tells it of each process, summed up, and with shared pages counted once. */
export type Memory = { resident: number; proportional: number };

/** Memory of processes and all below them; Linux only. */
export async function memoryOf(pids: readonly number[]): Promise<Memory> {
  let resident = 0;
  let proportional = 0;
  for (const pid of await withChildren(pids)) {
    const text = await Deno.readTextFile(`/proc/${pid}/smaps_rollup`).catch(() => "");
    resident += kilobytes(text, "Rss");
    proportional += kilobytes(text, "Pss");
  }
  return { resident: resident / 1024, proportional: proportional / 1024 };
}

async function withChildren(pids: readonly number[]): Promise<Set<number>> {
  const parents = new Map<number, number>();
  for await (const entry of Deno.readDir("/proc")) {
    const stat = /^\d+$/.test(entry.name) && await Deno.readTextFile(`/proc/${entry.name}/stat`).catch(() => "");
    // The name of the program stands in parentheses and may hold anything, so the fields are read from behind it.
    const parent = stat && stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1];
    if (parent) parents.set(Number(entry.name), Number(parent));
  }
  const found = new Set(pids);
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return found;
}

function kilobytes(text: string, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
}
