import { Cron } from "croner";

/** When a job of this schedule runs next, or null when that is never. Five-field schedules are read in GMT. */
export function nextRun(schedule: string, lastRun: Date, now: Date): Date | null {
  const seconds = /^(\d{1,2})\s+seconds?$/i.exec(schedule.trim())?.[1];
  if (seconds !== undefined) {
    // Like pg_cron: so long after the last start, and at once when that is already past.
    return new Date(Math.max(lastRun.getTime() + Number(seconds) * 1000, now.getTime()));
  }
  // `$` is pg_cron's last day of the month, which croner spells L.
  return new Cron(schedule.trim().replaceAll("$", "L"), { timezone: "Etc/UTC" }).nextRun(now);
}
