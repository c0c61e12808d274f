/** What tests may make the server do wrong. Chances are 0 to 1, for each message and receiver. */
export interface RealtimeFaults {
  /** A broadcast does not arrive; its sender notices nothing. Presence and replies stay as they are, here and below. */
  dropChance: number;
  /** A broadcast arrives twice. */
  duplicateChance: number;
  /** A broadcast is held back for a random time, so that later ones overtake it. */
  reorderChance: number;
  /** All broadcasts arrive this much later. */
  delayMs: number;
  /** Today's partition of realtime.messages is gone: `realtime.send` drops with a warning. Off makes it again. */
  missingPartition: boolean;
  /** Every delivery acts as if the message rate were exceeded: the channels are shut down. */
  rateExceeded: boolean;
  /** A token refresh keeps the permissions of the join. */
  frozenPermissions: boolean;
  /** Makes the chances repeatable. */
  seed?: number;
}

export function noFaults(): RealtimeFaults {
  return {
    dropChance: 0,
    duplicateChance: 0,
    reorderChance: 0,
    delayMs: 0,
    missingPartition: false,
    rateExceeded: false,
    frozenPermissions: false,
  };
}
