/** A time during which this process did not run. */
export interface Absence {
  readonly awayMs: number;
  /** The part that the steady clock did not count: the machine slept. Timers fire so much too late. */
  readonly unseenMs: number;
}

export interface AbsenceOptions {
  readonly onAbsence: (absence: Absence) => void;
  readonly everyMs?: number;
  /** Shorter absences are what a busy machine does now and then. Default 5,000. */
  readonly leastMs?: number;
  /** Milliseconds of the calendar; goes on while the machine sleeps. */
  readonly wall?: () => number;
  /** Milliseconds that only rise; stands still on some systems while the machine sleeps. */
  readonly steady?: () => number;
}

/**
 * Notices by the jump of its own clocks that the process was away: a closed lid, a paused virtual machine, a stopped
 * process. A clock that somebody sets ahead looks the same, which does no harm. Answers how to end the watch.
 */
export function watchForAbsence(options: AbsenceOptions): () => void {
  const { onAbsence, everyMs = 1_000, leastMs = 5_000, wall = Date.now, steady = () => performance.now() } = options;
  let wallAt = wall();
  let steadyAt = steady();
  const timer = setInterval(() => {
    const wallMs = wall() - wallAt;
    const steadyMs = steady() - steadyAt;
    wallAt += wallMs;
    steadyAt += steadyMs;
    const awayMs = Math.max(wallMs, steadyMs) - everyMs;
    if (awayMs >= leastMs) onAbsence({ awayMs, unseenMs: Math.max(0, wallMs - steadyMs) });
  }, everyMs);
  return () => clearInterval(timer);
}
