/** The worker script on a machine whose clock is off by as many milliseconds as the environment says. */
const shiftMs = Number(Deno.env.get("MUSTER_CAMPAIGN_CLOCK_SHIFT_MS"));
const now = Date.now;
Date.now = () => now() + shiftMs;
await import("../../../worker/cli.ts");
