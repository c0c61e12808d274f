import type { Args } from "./database.ts";

/** Every function that a worker calls with its token, with arguments of a worker that holds nothing. */
export const workerCalls: Record<string, Args> = {
  hello: { worker: {}, running: [] },
  heartbeat: { running: [] },
  claim_jobs: { want: 1 },
  complete_jobs: { results: [] },
  report_events: { events: [] },
  hold_resources: { resources: [] },
  release_resources: { names: [] },
  goodbye: {},
  create_artifact: { caller: null, artifact: { name: "a", size_bytes: 1, sha256: "0".repeat(64) } },
  get_artifact: { caller: null, artifact_id: "00000000-0000-4000-8000-000000000000" },
  authorize_secrets: { caller: null },
  authorize_artifact_finish: { caller: null, artifact_id: "00000000-0000-4000-8000-000000000000" },
};
