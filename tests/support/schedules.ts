import type { TestTenant } from "./actors.ts";
import { type Answer, type Args, service, type TestDatabase } from "./database.ts";

/** Makes a schedule that runs every hour on the hour, unless told otherwise. */
export function createSchedule(db: TestDatabase, tenant: TestTenant, schedule: Args = {}): Promise<Answer> {
  return db.call(service, "create_schedule", {
    caller: tenant.caller,
    schedule: { name: crypto.randomUUID(), cron: "0 * * * *", job: { type: "test" }, ...schedule },
  });
}

export function getSchedule(db: TestDatabase, tenant: TestTenant, id: string): Promise<Answer> {
  return db.call(service, "get_schedule", { caller: tenant.caller, schedule_id: id });
}

/** Moves the clock to an instant and ticks. */
export async function tickAt(db: TestDatabase, instant: string): Promise<Answer> {
  await db.advance((Date.parse(instant) - (await db.now()).getTime()) / 1000);
  return db.call(service, "tick");
}

/** The jobs of a schedule's runs, oldest first. */
export async function jobsOf(db: TestDatabase, { id }: { id: string }): Promise<Answer[]> {
  const rows = await db.sql`
    select *, split_part(idempotency_key, ':', 3) || ':' || split_part(idempotency_key, ':', 4) || ':'
      || split_part(idempotency_key, ':', 5) as run
    from muster.jobs where idempotency_key like ${`schedule:${id}:%`} order by position`;
  return [...rows];
}
