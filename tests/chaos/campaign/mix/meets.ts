import type { LabelExpression } from "../../../../shared/contracts/placement.ts";

/**
 * Whether labels are as an expression of the mix asks: written once more for the auditor, and only for what the mix uses.
 * Of version ranges that is `>=1.x <2`.
 */
export function meets(labels: Readonly<Record<string, string>>, expression: LabelExpression): boolean {
  const value = labels[expression.label];
  switch (expression.operator) {
    case "=":
      return value === expression.value;
    case "!=":
      return value !== expression.value;
    case "in":
      return value !== undefined && expression.values.includes(value);
    case "notIn":
      return value === undefined || !expression.values.includes(value);
    case "exists":
      return value !== undefined;
    case "absent":
      return value === undefined;
    case "<":
      return Number(value) < expression.value;
    case "<=":
      return Number(value) <= expression.value;
    case ">":
      return Number(value) > expression.value;
    case ">=":
      return Number(value) >= expression.value;
    case "semver": {
      const least = /^>=1\.(\d+) <2$/.exec(expression.value)?.[1];
      const minor = /^1\.(\d+)\.\d+$/.exec(value ?? "")?.[1];
      if (least === undefined) throw new Error(`The auditor cannot read the range ${expression.value}`);
      return minor !== undefined && Number(minor) >= Number(least);
    }
    case "matches":
      return value !== undefined && new RegExp(expression.value).test(value);
  }
}
