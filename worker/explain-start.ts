import { MusterError } from "../shared/errors.ts";
import { IdentityError } from "./identity.ts";
import { NotMusterError } from "./not-muster-error.ts";

/** A sentence that says what went wrong, and one that says what to do. */
export interface Explanation {
  readonly message: string;
  readonly advice: string;
}

/** Why a worker could not start, for the person at the terminal. */
export function explainStart(error: unknown, url: string): Explanation {
  if (error instanceof IdentityError || error instanceof NotMusterError) {
    return { message: error.message, advice: error.advice };
  }
  if (!(error instanceof MusterError)) {
    return { message: error instanceof Error ? error.message : String(error), advice: "See npm run worker -- --help" };
  }
  if (error.code === "unavailable") return explainSilence(error, url);
  if (error.code === "worker_revoked") {
    return {
      message: error.message,
      advice: "Ask an operator for a new enrollment token, and enroll with a new identity (--identity FILE)",
    };
  }
  const fields = error.errors.map(({ path, message }) => `${path}: ${message}`).join("; ");
  return { message: fields === "" ? error.message : `${error.message}: ${fields}`, advice: error.advice };
}

function explainSilence(error: MusterError, url: string): Explanation {
  if (/host not found/.test(error.message)) {
    return { message: `Cannot find the host of ${url}`, advice: "Check the spelling of --url, and the name service" };
  }
  if (/connection refused/.test(error.message)) {
    return {
      message: `Nothing answers at ${url}: connection refused`,
      advice: "Check --url, and that the project runs; a local one starts with npm start",
    };
  }
  return { message: error.message, advice: "Check the network and --url, then start the worker again" };
}
