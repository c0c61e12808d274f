/** What tests may make the server do wrong; broadcasts only, presence and replies stay as they are. */
export interface RealtimeFaults {
  /** Broadcasts reach nobody; senders notice nothing. */
  dropMessages: boolean;
  /** Every broadcast arrives twice. */
  duplicateMessages: boolean;
  delayMs: number;
}

export function noFaults(): RealtimeFaults {
  return { dropMessages: false, duplicateMessages: false, delayMs: 0 };
}
