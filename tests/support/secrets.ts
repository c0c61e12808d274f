import { makeSealingKey, type SealingKey, unsealSecrets } from "../../shared/auth/sealed-secrets.ts";
import type { SetSecretRequest } from "../../shared/contracts/secrets.ts";
import type { EnrolledDevice } from "./device.ts";
import { project } from "./project.ts";
import { type Api, api, type ApiAnswer } from "./tenant.ts";

/** The one who looks after a tenant's secrets, by the project's secret key. */
export function administrator(tenantId: string): Api {
  return api(project.secretKey, { "x-tenant-id": tenantId });
}

/** Sets a secret, for jobs of any type unless told otherwise. */
export async function setSecret(tenantId: string, secret: SetSecretRequest): Promise<void> {
  const answer = await administrator(tenantId)("/secrets", { json: { allowedTypes: ["*"], ...secret } });
  if (answer.status !== 200) throw new Error(`Cannot set ${secret.name}: ${JSON.stringify(answer.body)}`);
}

export interface OpenOptions {
  readonly jobId: string;
  readonly attempt?: number;
  /** Whose token is sent, and whose key signs; default the same machine's. */
  readonly token?: string;
  readonly key?: SealingKey;
  readonly now?: () => number;
  readonly proof?: string;
}

/** Asks for the secrets of an attempt as a machine does; with the values when they are given. */
export async function openSecrets(
  { device, enrolled }: EnrolledDevice,
  { jobId, attempt = 1, token = enrolled.accessToken, key, now, proof }: OpenOptions,
): Promise<ApiAnswer & { values?: Readonly<Record<string, string>> }> {
  const sealing = key ?? await makeSealingKey();
  const { publicJwk } = sealing;
  const signed = proof ?? await device.secretsProof({ jobId, attempt, publicJwk }, now === undefined ? {} : { now });
  const answer = await api(token)("/secrets/open", { json: { jobId, attempt, publicJwk, proof: signed } });
  return answer.status === 200 ? { ...answer, values: await unsealSecrets(answer.body.sealed, sealing) } : answer;
}
