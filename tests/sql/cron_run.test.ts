import assert from "node:assert/strict";
import { Cron } from "croner";
import { TestDatabase } from "../support/database.ts";
import { Random } from "../support/random.ts";

interface Question {
  readonly cron: string;
  readonly zone: string;
  readonly from: string;
  /** 1 for the runs after it, -1 for those before. */
  readonly direction: 1 | -1;
}

/** Half-hour changes, changes at midnight, changes of two hours, a day that was left out, and none. */
const zones = [
  ...["UTC", "Europe/Berlin", "America/New_York", "America/Havana", "America/Santiago", "America/St_Johns"],
  ...["Australia/Lord_Howe", "Asia/Kathmandu", "Asia/Beirut", "Africa/Cairo", "Antarctica/Troll"],
  ...["Pacific/Chatham", "Pacific/Apia", "Europe/Dublin", "America/Sao_Paulo"],
];

async function runs(db: TestDatabase, questions: readonly Question[], count: number): Promise<string[][]> {
  const rows = await db.sql`
    select array(
      with recursive r (n, at) as (
        select 1, muster_private.cron_run(
          muster_private.read_cron(q.item ->> 'cron'), q.item ->> 'zone', (q.item ->> 'from')::timestamptz,
          (q.item ->> 'direction')::integer)
        union all
        select n + 1, muster_private.cron_run(
          muster_private.read_cron(q.item ->> 'cron'), q.item ->> 'zone', at, (q.item ->> 'direction')::integer)
        from r where n < ${count} and at is not null
      )
      select muster_private.iso(at) from r where at is not null order by n) as runs
    from jsonb_array_elements(${JSON.stringify(questions)}::text::jsonb) with ordinality q (item, n)
    order by q.n`;
  return rows.map((row) => row.runs.map((run: string) => new Date(run).toISOString()));
}

async function next(db: TestDatabase, cron: string, zone: string, from: string, count = 3): Promise<string> {
  const [found] = await runs(db, [{ cron, zone, from, direction: 1 }], count);
  return found!.map((run) => run.replace(":00.000Z", "Z")).join(" ");
}

Deno.test("cron_run() agrees with croner on any expression, over zones, changes of clocks and years, both ways", async () => {
  await using db = await TestDatabase.create();
  const seed = Number(Deno.env.get("MUSTER_TEST_SEED") ?? 20_261_121);
  const random = new Random(seed);
  for (let round = 0; round < 12; round += 1) {
    const questions = Array.from({ length: 50 }, (): Question => {
      const zone = random.pick(zones);
      return { cron: anyCron(random), zone, from: anyInstant(random, zone), direction: random.pick([1, -1]) };
    });
    const answers = await runs(db, questions, 6);
    for (const [index, question] of questions.entries()) {
      assert.deepEqual(answers[index], byCroner(question, 6), `${JSON.stringify(question)} (seed ${seed})`);
    }
  }
});

Deno.test("cron_run() at fixed times: what does not exist runs right after, what exists twice runs once", async () => {
  await using db = await TestDatabase.create();
  const [spring, autumn] = ["2026-03-28T12:00:00Z", "2026-10-24T12:00:00Z"];
  assert.equal(
    await next(db, "30 2 * * *", "Europe/Berlin", spring),
    "2026-03-29T01:00Z 2026-03-30T00:30Z 2026-03-31T00:30Z",
  );
  assert.equal(
    await next(db, "30 2 * * *", "Europe/Berlin", autumn),
    "2026-10-25T00:30Z 2026-10-26T01:30Z 2026-10-27T01:30Z",
  );
  // Several that do not exist meet at the end of the gap, and count once.
  assert.equal(await next(db, "0,30 2,3 * * *", "Europe/Berlin", spring, 2), "2026-03-29T01:00Z 2026-03-29T01:30Z");
  // A day that a country left out has no time at all to run on.
  assert.equal(await next(db, "0 12 30 12 *", "Pacific/Apia", "2011-01-01T00:00:00Z", 1), "2012-12-29T22:00Z");
});

Deno.test("cron_run() at intervals goes by the time that passes", async () => {
  await using db = await TestDatabase.create();
  assert.equal(
    await next(db, "*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 4),
    "2026-03-29T00:30Z 2026-03-29T01:00Z 2026-03-29T01:30Z 2026-03-29T02:00Z",
  );
  assert.equal(
    await next(db, "0 * * * *", "Europe/Berlin", "2026-10-24T23:00:00Z", 4),
    "2026-10-25T00:00Z 2026-10-25T01:00Z 2026-10-25T02:00Z 2026-10-25T03:00Z",
  );
});

Deno.test("cron_run() knows rare days, and that some never come", async () => {
  await using db = await TestDatabase.create();
  const from = "2026-01-01T00:00:00Z";
  assert.equal(await next(db, "0 0 29 2 *", "UTC", from, 2), "2028-02-29T00:00Z 2032-02-29T00:00Z");
  assert.equal(await next(db, "0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", 1), "2104-02-29T00:00Z");
  assert.equal(await next(db, "0 0 29 2 */7", "UTC", from, 1), "2032-02-29T00:00Z");
  assert.equal(await next(db, "0 0 L * *", "UTC", from, 2), "2026-01-31T00:00Z 2026-02-28T00:00Z");
  assert.equal(await next(db, "0 0 * * fri#l", "UTC", from, 2), "2026-01-30T00:00Z 2026-02-27T00:00Z");
  assert.equal(await next(db, "0 0 * * mon#5", "UTC", from, 2), "2026-03-30T00:00Z 2026-06-29T00:00Z");
  assert.equal(await next(db, "0 0 31 2 *", "UTC", from), "");
});

Deno.test("cron_run() by Vixie's rule takes either of day and weekday, and both where one begins with *", async () => {
  await using db = await TestDatabase.create();
  const from = "2026-01-01T00:00:00Z";
  assert.equal(
    await next(db, "0 0 13 * fri", "UTC", from, 4),
    "2026-01-02T00:00Z 2026-01-09T00:00Z 2026-01-13T00:00Z 2026-01-16T00:00Z",
  );
  assert.equal(await next(db, "0 0 */2 * fri", "UTC", from, 2), "2026-01-09T00:00Z 2026-01-23T00:00Z");
});

Deno.test("read_cron() reads names, ranges over Sunday and what begins with @ as what they stand for", async () => {
  await using db = await TestDatabase.create();
  const same: Record<string, string> = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@Annually": "0 0 1 1 *",
    " 0  7\t* JAN-Mar MON-fri ": "0 7 * 1-3 1-5",
    "0 7 * * fri-sun": "0 7 * * 0,5,6",
    "0 7 * * 7": "0 7 * * 0",
    "0 7 * * 0-7": "0 7 * * *",
    "5,5,1-5/2 7 * * sun#L": "1,3,5 7 * * 0#l",
  };
  for (const [given, meant] of Object.entries(same)) {
    const [row] = await db.sql`
      select muster_private.read_cron(${given}) as given, muster_private.read_cron(${meant}) as meant`;
    // How it was written is kept, too: whether a field begins with *, whether there are steps.
    const strip = (text: string) => text.replace(/,[tf],[tf]\)$/, "");
    assert.equal(strip(row!.given), strip(row!.meant), given);
  }
});

Deno.test("read_cron() refuses what it cannot read, and says what it is", async () => {
  await using db = await TestDatabase.create();
  const bad: Record<string, RegExp> = {
    "": /1 to 200 characters/,
    [`0 0 ${"1,".repeat(150)}1 * *`]: /1 to 200 characters/,
    "* * * *": /it has 4 fields/,
    "0 * * * * *": /it has 6 fields/,
    "@reboot": /the names are @hourly/,
    "60 * * * *": /"60" must be a number from 0 to 59/,
    "* 24 * * *": /"24" must be a number from 0 to 23/,
    "* * 0 * *": /"0" must be a number from 1 to 31/,
    "* * * 13 *": /"13" must be a number from 1 to 12 or one of jan feb/,
    "* * * * 8": /"8" must be a number from 0 to 7 or one of sun mon/,
    "* * * mon *": /"mon" must be/,
    "* * * * sunday": /"sunday" must be/,
    "5-1 * * * *": /range 5-1 ends before it begins/,
    "*/0 * * * *": /step of \*\/0 must be from 1 to 59/,
    "*/60 * * * *": /step/,
    "5/15 * * * *": /must be \*, a value, a range/,
    "-5 * * * *": /must be \*/,
    "1, * * * *": /must be \*/,
    "* * l, * *": /must be \*/,
    "* * 15w * *": /"15w" must be a number/,
    "* * ? * *": /must be \*/,
    "* * * * fri#6": /must be \*/,
    "* * * * mon-fri#2": /must be \*/,
    "1.5 * * * *": /must be \*/,
    "٣ * * * *": /must be/,
    "0 0 * * *\nx": /must be/,
  };
  for (const [cron, message] of Object.entries(bad)) {
    await assert.rejects(
      db.sql`select muster_private.read_cron(${cron})`,
      (error: Error & { code?: string }) => {
        assert.equal(error.code, "MU004", cron);
        assert.match(error.message, message);
        return true;
      },
    );
  }
});

/** Croner with the same rules: steps over all days count as *, and a list of hours is fixed times. */
function byCroner({ cron, zone, from, direction }: Question, count: number): string[] {
  const fields = cron.split(" ");
  const job = new Cron(cron, {
    timezone: zone,
    mode: "5-part",
    fixedTimeRule: "no-wildcard",
    domAndDow: fields[2]!.startsWith("*") || fields[4]!.startsWith("*"),
  });
  const at = new Date(from);
  return (direction > 0 ? job.nextRuns(count, at) : job.previousRuns(count, at)).map((run) => run.toISOString());
}

function anyField(random: Random, low: number, high: number, all: number): string {
  if (random.chance(all)) return random.chance(0.7) ? "*" : `*/${random.between(1, Math.floor((high - low) / 2) + 1)}`;
  return Array.from({ length: random.pick([1, 1, 1, 2, 3]) }, () => {
    const first = random.between(low, high);
    const last = random.between(first, high);
    const step = random.between(1, Math.floor((high - low) / 2));
    return random.pick([`${first}`, `${first}`, `${first}-${last}`, `${first}-${last}/${step}`]);
  }).join(",");
}

function anyCron(random: Random): string {
  const pick = (usual: string[], other: string) => random.chance(0.5) ? random.pick(usual) : other;
  const minutes = pick(["0", "30", "15,45", "*/15", "29-31"], anyField(random, 0, 59, 0.3));
  // Where clocks are changed.
  const hours = pick(["0", "1", "2", "3", "23", "2,3", "1-3", "23,0", "*"], anyField(random, 0, 23, 0.3));
  const day = random.chance(0.15) ? random.pick(["L", "L,1", "28-31"]) : anyField(random, 1, 31, 0.6);
  const month = random.chance(0.1) ? random.pick(["jan", "MAR", "oct,nov"]) : anyField(random, 1, 12, 0.8);
  const weekday = random.chance(0.2)
    ? random.pick(["sun", "Mon-Fri", "fri#L", "1#1", "2#5", "0#3", "7"])
    : anyField(random, 0, 7, 0.6);
  return `${minutes} ${hours} ${day} ${month} ${weekday}`;
}

/** Any instant; half of the time one beside a change of the zone's clocks. */
function anyInstant(random: Random, zone: string): string {
  const start = Date.UTC(random.between(2008, 2036), random.between(0, 11), random.between(1, 28)) / 1000;
  let at = start + random.between(0, 86_399);
  const offset = offsetOf(zone);
  if (random.chance(0.5)) {
    for (let day = 0; day < 400 && offset(at) === offset(at + 86_400); day += 1) at += 86_400;
    let [low, high] = [at, at + 86_400];
    while (offset(low) !== offset(high) && high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (offset(middle) === offset(low)) low = middle;
      else high = middle;
    }
    at = high + random.pick([-86_400, -7_200, -3_600, -1_800, -60, -1, 0, 1, 60, 900, 1_800, 3_600, 5_400, 7_200]);
  }
  return new Date(at * 1000).toISOString();
}

function offsetOf(zone: string): (at: number) => string {
  const format = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
  return (at) => format.formatToParts(at * 1000).find(({ type }) => type === "timeZoneName")!.value;
}
