import { MusterError } from "../shared/errors.ts";
import { IdentityError } from "./identity.ts";

/** A sentence that says what went wrong, and one that says what to do. */
export interface Explanation {
  readonly message: string;
  readonly advice: string;
}

/** Why a worker could not start, for the person at the terminal. */
export function explainStart(error: unknown, url: string, now: number = Date.now()): Explanation {
  if (error instanceof IdentityError) return { message: error.message, advice: error.advice };
  if (!(error instanceof MusterError)) {
    return { message: error instanceof Error ? error.message : String(error), advice: "See npm run worker -- --help" };
  }
  switch (error.code) {
    case "unavailable":
      if (/host not found/.test(error.message)) {
        return {
          message: `Cannot find the host of ${url}`,
          advice: "Check the spelling of --url and the name service",
        };
      }
      if (/connection refused/.test(error.message)) {
        return {
          message: `Nothing answers at ${url}: connection refused`,
          advice: "Check --url, and that the project runs; for a local one, npm start",
        };
      }
      return { message: error.message, advice: "Check the network and --url, then start the worker again" };
    case "route_not_found":
    case "method_not_allowed":
    case "invalid_request":
      // Ours name their field errors or come with a problem document; a page of some other server has neither.
      if (error.correlationId !== undefined || error.advice !== undefined && error.status === 400) break;
      return notMuster(url);
    case "internal":
      if (error.correlationId === undefined) return notMuster(url);
      break;
    case "unauthenticated":
    case "forbidden":
      if (error.correlationId === undefined && /without a problem document/.test(error.message)) return notMuster(url);
      break;
    case "clock_skewed":
      return { message: clockMessage(error, now), advice: error.advice };
    case "worker_revoked":
      return {
        message: error.message,
        advice: "Ask an operator for a new enrollment token, and enroll with a new identity (--identity FILE)",
      };
  }
  const fields = error.errors.map(({ path, message }) => `${path}: ${message}`).join("; ");
  return { message: fields === "" ? error.message : `${error.message}: ${fields}`, advice: error.advice };
}

function notMuster(url: string): Explanation {
  return {
    message: `${url} answers, but it is not a Muster project`,
    advice: "Give the project's own URL, such as https://xyz.supabase.co, and check that its functions are deployed",
  };
}

function clockMessage(error: MusterError, now: number): string {
  const serverTime = Date.parse(error.serverTime ?? "");
  if (Number.isNaN(serverTime)) return error.message;
  const seconds = Math.round((now - serverTime) / 1000);
  const distance = Math.abs(seconds) < 120
    ? `${Math.abs(seconds)} seconds`
    : `${Math.round(Math.abs(seconds) / 60)} minutes`;
  return `This machine's clock is ${distance} ${seconds < 0 ? "behind" : "ahead of"} the project's`;
}
