/**
 * What Supabase charges a month on the Pro plan, in US dollars, as its documentation said in November 2026: a fee that
 * includes quotas, then a price for each package begun beyond them.
 */
export const priceList = {
  plan: 25,
  items: {
    functionInvocations: { included: 2_000_000, package: 1_000_000, price: 2 },
    realtimeMessages: { included: 5_000_000, package: 1_000_000, price: 2.5 },
    peakConnections: { included: 500, package: 1_000, price: 10 },
    egressGigabytes: { included: 250, package: 1, price: 0.09 },
    diskGigabytes: { included: 8, package: 1, price: 0.125 },
  },
} as const;

export type PricedItem = keyof typeof priceList.items;

/** What a month uses of each item. */
export type Usage = Readonly<Record<PricedItem, number>>;

/** Dollars a month for one item: nothing within the quota, whole packages beyond it. */
export function priceOf(item: PricedItem, used: number): number {
  const { included, package: size, price } = priceList.items[item];
  return Math.ceil(Math.max(0, used - included) / size) * price;
}

/** Dollars a month with the plan's fee. */
export function monthlyPrice(usage: Usage): number {
  const items = Object.keys(priceList.items) as PricedItem[];
  return items.reduce<number>((sum, item) => sum + priceOf(item, usage[item]), priceList.plan);
}
