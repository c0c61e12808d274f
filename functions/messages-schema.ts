import { z } from "zod";
import { channelMessages } from "../shared/contracts/channel-messages.ts";
import {
  Envelope,
  JobEnqueued,
  Presence,
  TaskAssign,
  TaskCancel,
  TaskError,
  TaskProgress,
  TaskResult,
  Wake,
  WorkerCommand,
} from "../shared/contracts/messages.ts";

const named = {
  Envelope,
  TaskAssign,
  TaskCancel,
  WorkerCommand,
  Wake,
  TaskResult,
  TaskError,
  TaskProgress,
  JobEnqueued,
  Presence,
} as const;

/**
 * The JSON Schema of every Realtime message: `$defs` by name, and under `x-channels` what goes over each kind of channel.
 * The document itself is the schema of a broadcast on any of them.
 */
export function messagesSchema(): Record<string, unknown> {
  const $defs = Object.fromEntries(
    Object.entries(named).map(([name, schema]) => {
      // Readers ignore what they do not know, so no schema closes its objects.
      const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: "draft-2020-12", io: "input" });
      return [name, rest];
    }),
  );
  const refOf = (schema: z.ZodType): { $ref: string } => {
    const name = Object.entries(named).find(([, known]) => known === schema)?.[0];
    if (name === undefined) throw new Error("Cannot describe a channel: one of its messages has no name");
    return { $ref: `#/$defs/${name}` };
  };
  const channels = Object.values(channelMessages).map(({ topic, description, broadcasts, presence }) => ({
    topic,
    description,
    broadcasts: Object.fromEntries(Object.entries(broadcasts).map(([event, schema]) => [event, refOf(schema)])),
    presence: presence === null ? null : refOf(presence),
  }));
  const messages = new Set(channels.flatMap(({ broadcasts }) => Object.values(broadcasts).map(({ $ref }) => $ref)));
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "Muster: Realtime messages",
    description: "The payload of a broadcast on a private channel. Messages are hints: the database is the truth.",
    anyOf: [...messages].map(($ref) => ({ $ref })),
    "x-channels": channels,
    $defs,
  };
}
