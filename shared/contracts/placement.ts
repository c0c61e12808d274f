import { z } from "zod";
import { isStorableText, text } from "./common.ts";
import { limits } from "./limits.ts";

/** How a worker is known to have a capability, from the least trust to the most. The first is what a name alone means. */
export const capabilityGrades = ["claimed", "granted", "measured"] as const;

/** A capability that a job requires: claimed by the worker, or `name@granted` or `name@measured`. */
export const RequiredCapability: z.ZodType<string> = z.string().min(1)
  .max(limits.capabilityLength + "@measured".length)
  .regex(
    new RegExp(`^[a-z0-9][a-z0-9._/-]{0,${limits.capabilityLength - 1}}(@(granted|measured))?$`),
    "Must be a capability, with @granted or @measured behind it or nothing",
  )
  .meta({
    description: "A capability that the worker claims; with @granted one that its enrollment token names, too; " +
      "with @measured one that an operator has recorded",
    example: "compute/basic",
  });

export const RequiredCapabilities: z.ZodType<string[]> = z.array(RequiredCapability).max(limits.requires)
  .describe("Capabilities that the worker must have");

/** Held against SQL by tests. */
export const labelOperators = [
  ...["=", "!=", "in", "notIn", "exists", "absent", "<", "<=", ">", ">=", "semver", "matches"] as const,
] as const;

const label = text(limits.labelKeyLength).describe("Name of the label");
const labelValue = z.string().max(limits.labelValueLength)
  .refine(isStorableText, "Must not contain NUL or lone surrogates");

const forms = {
  equality: {
    label,
    operator: z.enum(["=", "!="]).describe("!= holds where the worker has no such label, too"),
    value: labelValue,
  },
  membership: {
    label,
    operator: z.enum(["in", "notIn"]).describe("notIn holds where the worker has no such label, too"),
    values: z.array(labelValue).min(1).max(limits.labelValues),
  },
  presence: { label, operator: z.enum(["exists", "absent"]) },
  comparison: {
    label,
    operator: z.enum(["<", "<=", ">", ">="]).describe("Holds for labels that are numbers, such as 24 or -0.5"),
    value: z.number().min(-1e15).max(1e15),
  },
  version: {
    label,
    operator: z.literal("semver").describe("Holds for labels that are versions, such as 1.2.3-rc.1"),
    value: labelValue.max(limits.versionRangeLength).describe(
      "A range as npm writes it: ^1.2, ~1.2.3, >=1 <3, 1.x || 3",
    ),
  },
  pattern: {
    label,
    operator: z.literal("matches").describe("Holds for labels in which the pattern is found"),
    value: text(limits.patternLength).describe("A regular expression of Postgres, within bounds"),
  },
};

const example = { label: "cuda", operator: "semver", value: ">=12.2 <14" } as const;

/** What a job asks of one label of its worker. */
export const LabelExpression = z.discriminatedUnion("operator", [
  z.strictObject(forms.equality),
  z.strictObject(forms.membership),
  z.strictObject(forms.presence),
  z.strictObject(forms.comparison),
  z.strictObject(forms.version),
  z.strictObject(forms.pattern),
]).meta({ id: "LabelExpression", description: "What a label of the worker must be like", example });
export type LabelExpression = z.infer<typeof LabelExpression>;

const weight = z.number().int().min(1).max(limits.weight).describe("How much it counts beside the others");

/** A label expression that a job would rather have met than not. */
export const LabelPreference = z.discriminatedUnion("operator", [
  z.strictObject({ ...forms.equality, weight }),
  z.strictObject({ ...forms.membership, weight }),
  z.strictObject({ ...forms.presence, weight }),
  z.strictObject({ ...forms.comparison, weight }),
  z.strictObject({ ...forms.version, weight }),
  z.strictObject({ ...forms.pattern, weight }),
]).meta({
  id: "LabelPreference",
  description: "What a label of the worker is better like",
  example: { ...example, weight: 10 },
});
export type LabelPreference = z.infer<typeof LabelPreference>;

const resourceName = /^[a-z0-9][a-z0-9._-]{0,62}$/;

const Amounts = z.record(
  z.string().regex(resourceName, "Must be 1 to 63 of a-z 0-9 . _ -, starting with a letter or digit"),
  z.number().min(1e-6).max(1e12)
    .refine((amount) => Number(amount.toFixed(6)) === amount, "Must not have more than 6 decimals")
    .describe("With at most 6 decimals"),
).refine((amounts) => Object.keys(amounts).length <= limits.resources, `Must not name more than ${limits.resources}`);

/** What a worker has, beside its slots. */
export const WorkerResources = Amounts.refine((amounts) => !("slots" in amounts), "Must not name slots")
  .meta({ description: "Amounts of what jobs use up while they run", example: { gpu: 2, ram_gb: 64 } });
export type WorkerResources = z.infer<typeof WorkerResources>;

/** What a job takes of its worker while it holds it; `slots` are one of them. */
export const JobResources = Amounts.refine(
  ({ slots = 1 }) => Number.isInteger(slots) && slots <= limits.slots,
  `Must take a whole number of slots, 1 to ${limits.slots}`,
).meta({ description: "What the job takes of its worker while it runs; 1 slot if not said", example: { gpu: 0.5 } });
export type JobResources = z.infer<typeof JobResources>;

/** What a job asks of its worker beyond capabilities and equal labels; fields of `SubmitJob`. */
export const placement = {
  where: z.array(LabelExpression).max(limits.expressions).optional()
    .describe("What the worker's labels must be like, all of it"),
  prefer: z.array(LabelPreference).max(limits.expressions).optional()
    .describe(
      "What they are better like: among workers that are free, the one goes first that meets most of the weight",
    ),
  resources: JobResources.optional(),
};

const ToldExpression = z.object({
  label: z.string(),
  operator: z.string(),
  value: z.union([z.string(), z.number()]).optional(),
  values: z.array(z.string()).optional(),
});

/** The same as a job's answer tells it. */
export const placementAnswer = {
  where: z.array(ToldExpression).describe("In an order of its own"),
  prefer: z.array(ToldExpression.extend({ weight: z.number().int() })).describe("In an order of its own"),
  resources: z.record(z.string(), z.number()).describe("With the slots it takes"),
};

export const SetMeasuredCapabilities = z.strictObject({
  capabilities: z.array(
    z.string().min(1).max(limits.capabilityLength).regex(/^[a-z0-9][a-z0-9._/-]*$/, "Must be a capability"),
  ).max(limits.capabilities).describe("All that were measured; an empty list takes back what was recorded"),
}).meta({ id: "SetMeasuredCapabilities", example: { capabilities: ["gpu/a100"] } });
export type SetMeasuredCapabilities = z.infer<typeof SetMeasuredCapabilities>;
