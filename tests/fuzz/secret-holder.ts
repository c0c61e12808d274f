import assert from "node:assert/strict";
import { claimJobs, Device, enrollDevice } from "../support/device.ts";
import { setSecret } from "../support/secrets.ts";
import { api, createApiKey, createEnrollmentToken, createTenant } from "../support/tenant.ts";

export interface HeldAttempt {
  readonly jobId: string;
  readonly attempt: number;
  readonly publicJwk: { readonly kty: "EC"; readonly crv: "P-256"; readonly x: string; readonly y: string };
  readonly proof: string;
}

/** A worker with a tenant of its own, so that the only jobs it is given are those that name the secret. */
export interface SecretHolder {
  readonly accessToken: string;
  /** Ends the job it holds, takes another, and answers the request that opens its secret. */
  hold(): Promise<HeldAttempt>;
}

export async function createSecretHolder(value: string): Promise<SecretHolder> {
  const tenant = await createTenant("holder");
  await setSecret(tenant.id, { name: "FUZZED", value });
  const app = api((await createApiKey(tenant.id)).apiKey);
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { device, enrolled, rpc } = await enrollDevice(enrollmentToken);
  const { kty, crv, x, y } = (await Device.create()).publicJwk;
  const publicJwk = { kty, crv, x, y };
  let results: Record<string, unknown>[] = [];
  return {
    accessToken: enrolled.accessToken,
    async hold() {
      await rpc("complete_jobs", { results, want: 0 });
      await rpc("hello", { worker: { slots: 1 }, running: [] });
      const { body: { id: jobId } } = await app("/jobs", { json: { type: "a", secrets: ["FUZZED"], maxAttempts: 1 } });
      const [{ job_id, attempt }] = await claimJobs(rpc);
      assert.equal(job_id, jobId);
      results = [{ job_id, attempt, status: "succeeded", result: 1 }];
      return { jobId, attempt, publicJwk, proof: await device.secretsProof({ jobId, attempt, publicJwk }) };
    },
  };
}
