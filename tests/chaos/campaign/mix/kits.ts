/** What a worker of the campaign has besides its one capability. */
export interface Kit {
  readonly slots: number;
  readonly labels: Readonly<Record<string, string>>;
  readonly resources: Readonly<Record<string, number>>;
  /** Takes its jobs itself, rather than being given them. */
  readonly claims: boolean;
}

/** Whatever a job of the mix asks, a worker with this can do it: each tenant has one. */
const able: Kit = {
  slots: 3,
  labels: { zone: "a", size: "5", release: "1.5.0" },
  resources: { gpu: 1, ram_gb: 8 },
  claims: false,
};

/** The worker of this number, from 1; `isFirst` of its tenant. */
export function kitOf(number: number, isFirst: boolean): Kit {
  if (isFirst) return able;
  return {
    slots: 1 + number % 3,
    labels: { zone: number % 2 === 0 ? "b" : "a", size: String(number % 7), release: `1.${number % 9}.0` },
    resources: number % 3 === 0 ? {} : { gpu: 0.5 + number % 2, ram_gb: 4 },
    claims: number % 4 === 2,
  };
}
