/** A clock that runs, and jumps when told. */
export function jumpingClock(): { now: () => number; jump: (ms: number) => void } {
  let ahead = 0;
  return { now: () => Date.now() + ahead, jump: (ms) => void (ahead += ms) };
}
