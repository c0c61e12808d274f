/** What a process that holds workers is started with. */
export type HolderSettings = {
  name: string;
  url: string;
  token: string;
  /** Its workers hold jobs of type `bench.hold` until they are told to stop. */
  holds: boolean;
};

export type HolderCommand = { kind: "start"; count: number; perSecond: number } | { kind: "report" };

/** What has happened in a holder since its last answer; instants are in milliseconds since the epoch. */
export type Counts = {
  /** Calls of SQL functions by name, and of Edge Functions by path. */
  calls: Record<string, number>;
  /** Bytes of the bodies that answered the calls. */
  answeredBytes: number;
  /** Frames that arrived over the sockets, by event. */
  frames: Record<string, { count: number; bytes: number }>;
  /** Frames that were sent over the sockets, by event. */
  sent: Record<string, number>;
  joined: number[];
  /** Channels that were lost, by what the client said about it. */
  lost: Record<string, number>;
  started: { jobId: string; attempt: number; at: number }[];
};

/** When each worker that ever listened last began to. */
export type HolderReport = Counts & { listened: number[] };
