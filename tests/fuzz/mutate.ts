import fc from "fast-check";
import { hostileValue } from "./hostile-values.ts";

type Step = string | number;

/** Values that differ from fitting ones in one place: replaced, left out, or with something beside it. */
export function mutated(fitting: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  return fc.tuple(
    fitting,
    fc.nat(10_000),
    fc.constantFrom("replace", "remove", "add", "wrap"),
    hostileValue,
    fc.constantFrom("unknown", "__proto__", "constructor", "", "type ", "a.b", "id", "tenantId"),
  ).map(([value, place, change, hostile, name]) => {
    const paths = pathsOf(value);
    return changed(value, paths[place % paths.length]!, change, hostile, name);
  });
}

function pathsOf(value: unknown, path: Step[] = []): Step[][] {
  if (typeof value !== "object" || value === null) return [path];
  const inner = Array.isArray(value) ? value.map((item, index) => [index, item] as const) : Object.entries(value);
  return [path, ...inner.flatMap(([key, child]) => pathsOf(child, [...path, key]))];
}

function changed(value: unknown, [step, ...rest]: Step[], change: string, hostile: unknown, name: string): unknown {
  if (step === undefined) {
    if (change === "wrap") return [value];
    if (change === "add" && typeof value === "object" && value !== null && !Array.isArray(value)) {
      return withField(value, name, hostile);
    }
    return hostile;
  }
  if (Array.isArray(value)) {
    return value.map((item, index) => index === step ? changed(item, rest, change, hostile, name) : item);
  }
  const object = value as Record<string, unknown>;
  if (rest.length === 0 && change === "remove") {
    return Object.fromEntries(Object.entries(object).filter(([key]) => key !== step));
  }
  return Object.fromEntries(
    Object.entries(object).map((
      [key, child],
    ) => [key, key === step ? changed(child, rest, change, hostile, name) : child]),
  );
}

/** Also for `__proto__`, which a literal would set instead of adding. */
function withField(object: object, name: string, value: unknown): object {
  return Object.fromEntries([...Object.entries(object), [name, value]]);
}
