import { Peer, type PeerName } from "../peers.ts";
import { distributionOf, figureOf, median, percentile } from "../statistics.ts";
import { type Context, perSecond } from "./context.ts";

/** How the peers fare with jobs in the table that their worker cannot do: drawn beside Muster's, without an aim. */
export async function peersGrowth(context: Context): Promise<void> {
  const { peerOthers, peerDrained, peerSamples, runs } = context.sizes;
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
      const [drained, times]: [{ ms: number }[], number[][]] = [[], []];
      for (let round = 0; round < runs; round++) {
        await peer.add(jobs, { batch: 1000 });
        await context.vacuum(url);
        drained.push(await peer.drain(jobs));
        times.push(await peer.latency(peerSamples, round === 0 ? 10 : 0));
      }
      const rates = perSecond(jobs, drained);
      points.push([Math.max(others, 1), median(rates)]);
      context.results.peersGrowth.push({
        ...{ name, others, rate: figureOf(rates), latency: figureOf(times.map((round) => percentile(round, 0.5))) },
      });
      if (others === 0) context.draw({ plot: "latency", name, points: distributionOf(times.flat()) });
    }
    context.draw({ plot: "others", name, points });
  }
}
