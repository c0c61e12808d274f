/** Clock ticks a second, as /proc counts them: 100 on every Linux that is met. */
const ticksPerSecond = 100;

/**
 * Seconds of processor time that a process, those it has waited for, and all below it have used so far; Linux only. Of
 * Postgres' first process that is the whole server: sessions that have ended count with their parent.
 */
export async function cpuSeconds(pid: number): Promise<number> {
  const processes = new Map<number, { parent: number; ticks: number }>();
  for await (const entry of Deno.readDir("/proc")) {
    const stat = /^\d+$/.test(entry.name) && await Deno.readTextFile(`/proc/${entry.name}/stat`).catch(() => "");
    if (!stat) continue;
    // The name of the program stands in parentheses and may hold anything, so the fields are read from behind it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    const [own, , waitedFor] = [fields[11]! + fields[12]!, 0, fields[13]! + fields[14]!];
    processes.set(Number(entry.name), { parent: fields[1]!, ticks: own + waitedFor });
  }
  const family = new Set([pid]);
  for (let before = -1; before !== family.size;) {
    before = family.size;
    for (const [id, { parent }] of processes) if (family.has(parent)) family.add(id);
  }
  let ticks = 0;
  for (const id of family) ticks += processes.get(id)?.ticks ?? 0;
  return ticks / ticksPerSecond;
}
