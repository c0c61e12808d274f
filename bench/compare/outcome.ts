import type { Figure } from "../statistics.ts";

export type Unit = "per second" | "ms" | "bytes" | "messages" | "µs";

/** One line of the table: what was aimed at, and what came out. */
export type Outcome = {
  /** Short, stable: to compare results of two days, and to choose what to run. */
  id: string;
  measure: string;
  aim: Aim;
  unit: Unit;
  /** Muster's; null where the tree has not what is to be measured. */
  figure: Figure | null;
  /** What it is measured beside, in the same run. */
  beside?: { name: string; figure: Figure };
  /** What the aim is about, if that is not the figure itself. */
  ratio?: Figure;
  note?: string;
};

/** A bound of Muster's figure, or of its ratio to what it is measured beside. */
export type Aim = { text: string; of: "figure" | "ratio"; atLeast?: number; atMost?: number };

/** Null where nothing was measured, or not what it is to be held against. */
export function isMet({ aim, figure, ratio }: Outcome): boolean | null {
  const value = (aim.of === "ratio" ? ratio : figure)?.median;
  if (value === undefined) return null;
  return value >= (aim.atLeast ?? -Infinity) && value <= (aim.atMost ?? Infinity);
}

/** A measurement without an aim of its own, for the tables and plots: what its peers did, what it cost. */
export type Series = {
  plot: string;
  name: string;
  points: [x: number, y: number][];
};

export type Cost = { name: string; jobs: number; serverMicroseconds: number; clientMicroseconds: number };

/** The least that a queue in Postgres does. */
export type Floor = { name: string; figure: Figure; by: string };

/** A peer with nothing else in its table, and with jobs there that its worker cannot do. */
export type PeerGrowth = { name: string; others: number; rate: Figure; latency: Figure };

/** `peers` are rates of graphile-worker that parts other than the one which measured them are held against. */
export type Results = {
  outcomes: Outcome[];
  series: Series[];
  costs: Cost[];
  floor: Floor[];
  peers: Record<string, number[]>;
  peersGrowth: PeerGrowth[];
};

export function noResults(): Results {
  return { outcomes: [], series: [], costs: [], floor: [], peers: {}, peersGrowth: [] };
}

/** Those of several parts as one, in their order. */
export function allOf(parts: readonly Results[]): Results {
  const all = noResults();
  for (const { outcomes, series, costs, floor, peers, peersGrowth } of parts) {
    all.outcomes.push(...outcomes);
    all.series.push(...series);
    all.costs.push(...costs);
    all.floor.push(...floor);
    Object.assign(all.peers, peers);
    all.peersGrowth.push(...peersGrowth);
  }
  return all;
}
