import { setTimeout as delay } from "node:timers/promises";
import type { JSONWebKeySet } from "jose";
import postgres from "postgres";
import { lasting } from "../lasting-sql.ts";
import { Authorizer } from "./authorization.ts";
import { connectedUsers, type RealtimeContext } from "./context.ts";
import { DatabaseLink } from "./replication/database-link.ts";
import { databaseMessages } from "./database-messages.ts";
import { Dispatcher } from "./dispatcher.ts";
import { noFaults, type RealtimeFaults } from "./faults.ts";
import { openSocket } from "./handshake.ts";
import { defaultLimits, type RealtimeLimits } from "./limits.ts";
import { maintainPartitions } from "./partitions.ts";
import { PresenceRegistry } from "./presence-registry.ts";
import { RateCounter } from "./rate-counter.ts";
import { ensurePublication } from "./replication/publication.ts";
import { ReplicationLink } from "./replication/replication-link.ts";
import { replayer } from "./replay.ts";
import { createRestApi } from "./rest-api.ts";
import { tokenVerifier } from "./tokens.ts";

export type { RealtimeFaults } from "./faults.ts";
export type { RealtimeLimits } from "./limits.ts";

export interface RealtimeOptions {
  /** As a superuser: for replication, and for asking the policies in other roles. */
  dbUrl: string;
  jwtSecret: string;
  /** Public keys for tokens that are not signed with the secret. */
  jwks?: JSONWebKeySet;
  limits?: Partial<RealtimeLimits>;
  log?: (line: object) => void;
  /** Milliseconds since the epoch. */
  now?: () => number;
}

export interface Realtime extends AsyncDisposable {
  /** Makes partitions and publication, and follows the database. */
  start(): Promise<void>;
  /** Serves `/socket/websocket` and `/api/*`. Where a gateway rewrote the request, `original` is the one it was given. */
  fetch(request: Request, original?: Request): Promise<Response>;
  /** Off: all sockets are closed and new ones refused with 503, as in an outage. */
  setEnabled(enabled: boolean): void;
  /** Tells every channel that the server wants it to go, and closes all sockets. */
  disconnect(): void;
  /** Changes what is named; resolves once it shows. */
  setFaults(faults: Partial<RealtimeFaults>): Promise<void>;
  stop(): Promise<void>;
}

const slotPrefix = "supabase_realtime_messages_replication_slot";
const publication = "supabase_realtime_messages_publication";
// Told by the service when it restarts: clients connect again.
const serviceRestart = 1012;

/** A stand-in for Supabase Realtime over one database; everything but `postgres_changes`. */
export function createRealtime(options: RealtimeOptions): Realtime {
  const { dbUrl, now = Date.now, log = () => {} } = options;
  const limits = { ...defaultLimits, ...options.limits };
  const faults = noFaults();
  const sql = postgres(dbUrl, {
    max: 4,
    idle_timeout: 30,
    ...lasting,
    onnotice: () => {},
    connection: { application_name: "realtime", TimeZone: "UTC" },
  });
  const rates = {
    messages: new RateCounter(now),
    joins: new RateCounter(now),
    presence: new RateCounter(now),
    requests: new RateCounter(now),
  };
  const { maxMessagesPerSecond } = limits;
  const dispatcher = new Dispatcher({
    faults,
    messageRate: rates.messages,
    presenceRate: rates.presence,
    maxMessagesPerSecond,
  });
  const link = new DatabaseLink({
    limits,
    makeLink: () =>
      new ReplicationLink({
        dbUrl,
        publication,
        slotPrefix,
        log,
        prepare,
        onInsert: databaseMessages({ dispatcher, limits, messageRate: rates.messages, log }),
      }),
    isNeeded: () => connectedUsers(context) > 0,
  });
  const context: RealtimeContext = {
    limits,
    faults,
    now,
    log,
    verifyToken: tokenVerifier({ jwtSecret: options.jwtSecret, jwks: options.jwks, now }),
    authorizer: new Authorizer(sql, now),
    dispatcher,
    presence: new PresenceRegistry(),
    replayMessages: replayer(sql, limits, now),
    isReplicating: () => link.isUp,
    replicationReady: () => link.whenUp(),
    joined: () => link.need(),
    rates,
    sockets: new Set(),
    closing: false,
  };
  const restApi = createRestApi(context);
  let enabled = true;
  const timers: ReturnType<typeof setInterval>[] = [];

  async function prepare(): Promise<void> {
    await maintainPartitions(sql, now(), faults.missingPartition);
    await ensurePublication(sql, publication);
  }

  function closeSockets(): void {
    for (const socket of [...context.sockets]) socket.close(serviceRestart);
  }

  function sweep(): void {
    for (const socket of [...context.sockets]) if (socket.hasJoined && socket.channels.size === 0) socket.close(1000);
  }

  async function maintain(): Promise<void> {
    await maintainPartitions(sql, now(), faults.missingPartition).catch((error) => {
      log({ event: "realtime.maintenance_failed", reason: String(error) });
    });
  }

  async function stop(): Promise<void> {
    context.closing = true;
    for (const timer of timers) clearInterval(timer);
    if (limits.drainMs > 0 && context.sockets.size > 0) await delay(limits.drainMs);
    closeSockets();
    dispatcher.stop();
    await link.stop();
    await sql.end({ timeout: 1 });
  }

  return {
    async start() {
      await prepare();
      await link.start();
      timers.push(setInterval(maintain, limits.maintenanceMs), setInterval(sweep, limits.noChannelSweepMs));
    },
    async fetch(request, original = request) {
      if (!enabled || context.closing) return new Response("Service Unavailable", { status: 503 });
      if (new URL(request.url).pathname === "/socket/websocket") return await openSocket(context, request, original);
      return await restApi.fetch(request);
    },
    setEnabled(value) {
      enabled = value;
      if (!enabled) closeSockets();
    },
    disconnect() {
      for (const socket of [...context.sockets]) socket.disconnect(serviceRestart);
    },
    async setFaults(changed) {
      const { missingPartition } = faults;
      Object.assign(faults, changed);
      if (faults.missingPartition !== missingPartition) await maintainPartitions(sql, now(), faults.missingPartition);
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
