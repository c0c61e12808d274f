import assert from "node:assert/strict";
import fc from "fast-check";
import { LabelExpression } from "../../shared/contracts/placement.ts";
import { createTenant, createWorker, refused, submit } from "../support/actors.ts";
import { type Args, service, TestDatabase } from "../support/database.ts";

/** For each expression: labels that meet it, and labels that do not; null is a worker without the label. */
const cases: { expression: Args; met: (string | null)[]; unmet: (string | null)[] }[] = [
  { expression: { operator: "=", value: "lab" }, met: ["lab"], unmet: ["Lab", "lab ", "", null] },
  { expression: { operator: "=", value: "" }, met: [""], unmet: ["x", null] },
  { expression: { operator: "!=", value: "lab" }, met: ["Lab", "", null], unmet: ["lab"] },
  { expression: { operator: "in", values: ["a", "b"] }, met: ["a", "b"], unmet: ["c", "", null] },
  { expression: { operator: "notIn", values: ["a", "b"] }, met: ["c", "", null], unmet: ["a", "b"] },
  { expression: { operator: "exists" }, met: ["a", ""], unmet: [null] },
  { expression: { operator: "absent" }, met: [null], unmet: ["a", ""] },
  { expression: { operator: "<", value: 10 }, met: ["9", "9.999", "-20", "+1", "007"], unmet: ["10", "1e1", "", null] },
  { expression: { operator: "<=", value: 10 }, met: ["10", "10.0"], unmet: ["10.0001", "ten", null] },
  { expression: { operator: ">", value: -0.5 }, met: ["0", "-0.4"], unmet: ["-0.5", "0x1", "Infinity", "NaN", null] },
  { expression: { operator: ">=", value: 10 }, met: ["10", "100"], unmet: ["9", "1_000", " 10", null] },
  {
    expression: { operator: "semver", value: "^12.2" },
    met: ["12.2.0", "v12.10.1"],
    unmet: ["12.1.9", "13.0.0", null],
  },
  { expression: { operator: "semver", value: ">=1" }, met: ["1.0.0"], unmet: ["12.2", "12", "1.0.0-rc.1", "x", null] },
  {
    expression: { operator: "matches", value: "^NVIDIA (A|H)100" },
    met: ["NVIDIA H100 PCIe"],
    unmet: ["nvidia H100", null],
  },
  { expression: { operator: "matches", value: "(?i)h100" }, met: ["NVIDIA H100"], unmet: ["A100", "", null] },
  { expression: { operator: "matches", value: "^\\d{1,3}\\.\\w+$" }, met: ["12.x"], unmet: ["1234.x", "12."] },
];

Deno.test("each operator of label expressions holds for the labels it should, and for no others", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const values = [...new Set(cases.flatMap(({ met, unmet }) => [...met, ...unmet]))];
  const idOf = new Map<string | null, string>();
  for (const value of values) {
    idOf.set(value, (await createWorker(db, tenant, { labels: value === null ? {} : { l: value }, online: false })).id);
  }
  for (const { expression, met, unmet } of cases) {
    LabelExpression.parse({ label: "l", ...expression });
    const [job] = await submit(db, tenant, { where: [{ label: "l", ...expression }] });
    const rows = await db.sql`
      select w.worker_id from muster.worker_classes w join muster.jobs j using (class_id) where j.id = ${job.id}`;
    const serving = new Set(rows.map((row) => row.worker_id));
    for (const value of met) assert.ok(serving.has(idOf.get(value)), `${JSON.stringify(expression)} takes ${value}`);
    for (const value of unmet) assert.ok(!serving.has(idOf.get(value)), `${JSON.stringify(expression)} bars ${value}`);
  }
});

Deno.test("a job answers the label expressions it was submitted with", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const where = [
    { label: "cuda", operator: "semver", value: ">=12.2 <14" },
    { label: "site", operator: "in", values: ["a", "b"] },
  ];
  const prefer = [{ label: "ram", operator: ">=", value: 64.5, weight: 10 }];
  const [job] = await submit(db, tenant, { where, prefer, resources: { gpu: 0.5, slots: 2 } });
  assert.deepEqual(job.where, where);
  assert.deepEqual(job.prefer, prefer);
  assert.deepEqual(job.resources, { gpu: 0.5, slots: 2 });
});

Deno.test("ranges of versions hold for the versions that npm's semver says", async () => {
  await using db = await TestDatabase.create();
  const lines = (await Deno.readTextFile(new URL("version-ranges.jsonl", import.meta.url))).trim().split("\n");
  // The first line lists the versions; each other one a range and those of them within it, null for what is no range.
  const [versions, ...expected] = lines.map((line) => JSON.parse(line)) as [string[], ...[string, string[] | null][]];
  const rows = await db.sql`
    select r.range, r.ranges is null as is_none,
      array(select v from unnest(${versions}::text[]) v where muster_private.version_is_within(v, r.ranges)) as versions
    from (
      select n, range, muster_private.read_version_range(range) as ranges
      from unnest(${expected.map(([range]) => range)}::text[]) with ordinality r (range, n) offset 0
    ) r
    order by n`;
  assert.deepEqual(rows.map((row) => [row.range, row.is_none ? null : row.versions]), expected);
});

Deno.test("keys of versions order like the versions", async () => {
  await using db = await TestDatabase.create();
  const number = fc.oneof(fc.nat(3), fc.nat(1_000_000), fc.constant(999_999_999_999_999));
  const identifier = fc.oneof(number.map(String), fc.stringMatching(/^[0-9A-Za-z-]{0,3}[A-Za-z-][0-9A-Za-z-]{0,2}$/));
  const version = fc.record({
    core: fc.tuple(number, number, number),
    prerelease: fc.array(identifier, { maxLength: 3 }),
  });
  const pairs = fc.sample(fc.tuple(version, version), { numRuns: 2_000, seed: 1 });
  // Twins that differ in their prereleases alone are what chance would seldom bring.
  const all = pairs.flatMap(([a, b]) => [[a, b], [a, { ...b, core: a.core }]] as const);
  const rows = await db.sql`
    select case when a < b then -1 when a > b then 1 else 0 end as order
    from (
      select n, muster_private.version_key(p ->> 0) collate "C" as a, muster_private.version_key(p ->> 1) collate "C" as b
      from jsonb_array_elements(${db.sql.json(all.map((pair) => pair.map(textOf)))}) with ordinality p (p, n)
    ) k
    order by n`;
  all.forEach(([a, b], n) => assert.equal(rows[n]!.order, precedence(a, b), `${textOf(a)} and ${textOf(b)}`));
});

Deno.test("label expressions that make no sense are refused, and nothing is stored", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const text = (length: number) => "x".repeat(length);
  const bad: Record<string, Args> = {
    "no label": { operator: "exists" },
    "an empty label": { label: "", operator: "exists" },
    "a label of 64 characters": { label: text(64), operator: "exists" },
    "no operator": { label: "l" },
    "an unknown operator": { label: "l", operator: "like", value: "x" },
    "a number as operator": { label: "l", operator: 1 },
    "= without value": { label: "l", operator: "=" },
    "= with a number": { label: "l", operator: "=", value: 1 },
    "= with values": { label: "l", operator: "=", value: "x", values: ["x"] },
    "= with 256 characters": { label: "l", operator: "=", value: text(256) },
    "in without values": { label: "l", operator: "in" },
    "in with a value": { label: "l", operator: "in", value: "x", values: ["x"] },
    "in with no values": { label: "l", operator: "in", values: [] },
    "in with 51 values": { label: "l", operator: "in", values: Array.from({ length: 51 }, (_, n) => `${n}`) },
    "in with numbers": { label: "l", operator: "in", values: [1] },
    "notIn with a text": { label: "l", operator: "notIn", values: "x" },
    "exists with a value": { label: "l", operator: "exists", value: "x" },
    "< with a text": { label: "l", operator: "<", value: "1" },
    "< with far too many digits": { label: "l", operator: "<", value: 1e40 },
    "semver with no range": { label: "l", operator: "semver", value: "latest" },
    "semver with a number": { label: "l", operator: "semver", value: 1 },
    "semver with 101 characters": { label: "l", operator: "semver", value: "1 || ".repeat(20) + "10" },
    "matches with nothing": { label: "l", operator: "matches", value: "" },
    "matches with an open group": { label: "l", operator: "matches", value: "(" },
    "a weight where none counts": { label: "l", operator: "exists", weight: 1 },
  };
  for (const [what, expression] of Object.entries(bad)) {
    await refused(submit(db, tenant, { where: [expression] }), "MU004", what);
  }
  for (const weight of [undefined, null, 0, 101, 1.5, "1", -1]) {
    await refused(
      submit(db, tenant, { prefer: [{ label: "l", operator: "exists", ...(weight === undefined ? {} : { weight }) }] }),
      "MU004",
      `a preference with the weight ${weight}`,
    );
  }
  for (const where of ["x", 1, {}, [1], ["x"], [null], [[]]]) {
    await refused(submit(db, tenant, { where }), "MU004", `where ${JSON.stringify(where)}`);
  }
  const many = (length: number) => Array.from({ length }, (_, n) => ({ label: `l${n}`, operator: "exists" }));
  await refused(submit(db, tenant, { where: many(21) }), "MU015", "21 expressions");
  const costly = (length: number) => many(length).map((each) => ({ ...each, operator: "semver", value: "1" }));
  await refused(
    submit(db, tenant, { where: costly(3), prefer: costly(3).map((each) => ({ ...each, weight: 1 })) }),
    "MU015",
    "6 ranges of versions",
  );
  const [{ count }] = await db.sql`select count(*)::integer from muster.jobs` as unknown as [{ count: number }];
  assert.equal(count, 0);
  assert.equal((await submit(db, tenant, { where: many(20), prefer: null }))[0].status, "queued");
});

Deno.test("patterns that would take long to read are refused before they are read", async () => {
  await using db = await TestDatabase.create();
  // Without the bounds these take from 0.1 s to minutes.
  const hostile = [
    "((([^y]*x?){1,10}){1,10}){1,10}",
    "[a\\][](((x{1,10}){1,10}){1,10}]",
    `(${"(x*y*)*".repeat(25)}){1,250}`,
    "(\\m\\M|\\y|$|".repeat(14) + "x" + ")*".repeat(14),
    "(^|$|\\y)*".repeat(11),
    "(?:^|$|,)*(?:^|$)*^x",
    "(.*)(.*)\\1\\2",
    "(?=.*a)(?=.*b).*",
    "(?x)(x {1,10}) {1,10}",
    "(?b)\\(x\\{1,10\\}\\)\\{1,10\\}",
    "***=(",
    "x{101}",
    "x{51}y{50,}",
    "x".repeat(201),
  ];
  for (const pattern of hostile) {
    const [row] = await db.sql`select muster_private.pattern_problem(${pattern}) as problem`;
    assert.match(row!.problem ?? "", /at most|1 to|not|only/, pattern);
  }
  const good = [
    "^a$",
    "(^|,)gpu(,|$)",
    "\\\\1",
    "^v?\\d+\\.\\d{1,3}(-[a-z]+)?$",
    "[[:alpha:]]{3}[^^]",
    "\\(x\\){2}",
    "(?i)(?:a|b)+",
  ];
  for (const pattern of good) {
    const [row] = await db.sql`select muster_private.pattern_problem(${pattern}) as problem`;
    assert.equal(row!.problem, null, pattern);
  }
});

Deno.test("a submission brings 20 different patterns at most, and a tenant has 100 classes with patterns", async () => {
  await using db = await TestDatabase.create();
  const tenant = await createTenant(db);
  const withPattern = (n: number) => ({ where: [{ label: "l", operator: "matches", value: `^${n}$` }] });
  const some = (from: number, count: number) => Array.from({ length: count }, (_, n) => withPattern(from + n));
  await refused(submit(db, tenant, ...some(0, 21)), "MU015");
  for (let n = 0; n < 100; n += 20) await submit(db, tenant, ...some(n, 20));
  const error = await refused(submit(db, tenant, withPattern(100)), "MU019");
  assert.match(error.message, /pattern/);
  // What is known already goes on, and so does what has none.
  await submit(db, tenant, withPattern(7), { where: [{ label: "l", operator: "exists" }] });
  const other = await createTenant(db);
  assert.equal(
    (await db.call(service, "submit_jobs", { caller: other.caller, jobs: [{ type: "test", ...withPattern(100) }] }))
      .jobs.length,
    1,
  );
});

type Version = { core: readonly number[]; prerelease: readonly string[] };

function textOf({ core, prerelease }: Version): string {
  return core.join(".") + (prerelease.length === 0 ? "" : `-${prerelease.join(".")}`);
}

/** By the rules of https://semver.org, 11. */
function precedence(a: Version, b: Version): number {
  for (const [n, part] of a.core.entries()) if (part !== b.core[n]) return Math.sign(part - b.core[n]!);
  if (a.prerelease.length === 0 || b.prerelease.length === 0) {
    return Math.sign(b.prerelease.length - a.prerelease.length);
  }
  for (const [n, x] of a.prerelease.entries()) {
    const y = b.prerelease[n];
    if (y === undefined) return 1;
    if (x === y) continue;
    const [xIsNumber, yIsNumber] = [/^\d+$/.test(x), /^\d+$/.test(y)];
    if (xIsNumber && yIsNumber) return Math.sign(Number(x) - Number(y));
    if (xIsNumber !== yIsNumber) return xIsNumber ? -1 : 1;
    return x < y ? -1 : 1;
  }
  return a.prerelease.length === b.prerelease.length ? 0 : -1;
}
