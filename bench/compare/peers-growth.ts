import { Peer, type PeerName } from "../peers.ts";
import { median } from "../statistics.ts";
import { type Context, perSecond } from "./context.ts";

/** How the peers fare with jobs in the table that their worker cannot do: drawn beside Muster's, without an aim. */
export async function peersGrowth(context: Context): Promise<void> {
  const { peerOthers, peerDrained, runs } = context.sizes;
  for (const name of ["graphile batched", "graphile default", "pg-boss"] satisfies PeerName[]) {
    // One by one they are slow, and get slower.
    const jobs = name === "graphile default" ? peerDrained / 10 : peerDrained;
    const url = await context.createDatabase(`others_${name.replace(/\W/g, "_")}`);
    await using peer = await Peer.start(name, url);
    const points: [number, number][] = [];
    let there = 0;
    for (const others of peerOthers) {
      if (others > there) await peer.add(others - there, { batch: 1000, queue: "others" });
      there = others;
      context.say(`${name} beside ${others} jobs of others`);
      const drained: { ms: number }[] = [];
      for (let round = 0; round < runs; round++) {
        await peer.add(jobs, { batch: 1000 });
        await context.vacuum(url);
        drained.push(await peer.drain(jobs));
      }
      points.push([Math.max(others, 1), median(perSecond(jobs, drained))]);
    }
    context.draw({ plot: "others", name, points });
  }
}
