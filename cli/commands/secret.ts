import { base64url } from "jose";
import { limits } from "../../shared/contracts/limits.ts";
import { AllowedType, RotateMasterKeyAnswer, Secret, SecretList, SecretName } from "../../shared/contracts/secrets.ts";
import { UnavailableError } from "../../shared/errors.ts";
import { printableLine } from "../../shared/printable.ts";
import { UsageError } from "../../shared/usage-error.ts";
import { allPages, type Api, findTenant, makeTenant } from "../api.ts";
import { defineCommand } from "../define-command.ts";
import { type Outcome, table } from "../outcome.ts";
import { readName, tenantOption } from "../read-options.ts";
import { readSecretValue } from "../read-secret-value.ts";

/** A value is never taken from the command line: others can see it. The function `secrets` encrypts it. */
export const secretCommands = {
  "secret set": defineCommand({
    help: `  secret set NAME            Set a secret; its value comes from standard input, or is asked for
      --tenant NAME          Tenant of the secret; made when it is new (default: default)
      --type TYPE            A type of job that may use it, as it is or like mail.*; repeat it (default: as before)`,
    options: { tenant: tenantOption, type: { type: "string", multiple: true } },
    names: ["NAME"],
    isSecret: true,
    read({ values, names: [given = ""] }) {
      const name = readSecretName(given);
      const tenant = readName("tenant", values.tenant);
      const allowedTypes = values.type?.map(readType);
      return async ({ api }) => {
        const value = await readSecretValue(name);
        const { id: tenantId } = await makeTenant(api, tenant);
        const json = { name, value, ...(allowedTypes === undefined ? {} : { allowedTypes }) };
        const secret = await api.post("/secrets", Secret, json, { tenantId });
        const text = `Set ${secret.name} (version ${secret.version}) for jobs of type ${
          secret.allowedTypes.join(", ")
        }`;
        return { record: { tenantId, tenant, ...secret }, text: printableLine(text) };
      };
    },
  }),
  "secret list": defineCommand({
    help: `  secret list                List the secrets, without their values
      --tenant NAME          Tenant of the secrets (default: default)`,
    options: { tenant: tenantOption },
    isSecret: true,
    read({ values }) {
      const tenant = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        const secrets = await allPages(async (cursor) => {
          const query = { limit: String(limits.pageSize), cursor };
          const page = await api.get("/secrets", SecretList, { tenantId, query });
          return { items: page.secrets, nextCursor: page.nextCursor };
        });
        const rows = secrets.map(({ name, version, updatedAt, allowedTypes }) =>
          [name, version, updatedAt, allowedTypes.join(" ")] as const
        );
        return { record: { tenantId, tenant, secrets }, text: table(["NAME", "VERSION", "SET", "FOR JOBS OF"], rows) };
      };
    },
  }),
  "secret delete": defineCommand({
    help: `  secret delete NAME         Forget a secret
      --tenant NAME          Tenant of the secret (default: default)`,
    options: { tenant: tenantOption },
    names: ["NAME"],
    isSecret: true,
    read({ values, names: [given = ""] }) {
      const name = readSecretName(given);
      const tenant = readName("tenant", values.tenant);
      return async ({ api }) => {
        const { id: tenantId } = await findTenant(api, tenant);
        const secret = await api.post(`/secrets/${name}/delete`, Secret, {}, { tenantId });
        return { record: { tenantId, tenant, ...secret }, text: `Deleted ${secret.name}` };
      };
    },
  }),
  "secret rotate-master-key": defineCommand({
    help: "  secret rotate-master-key   Encrypt every secret anew, with the first of MUSTER_MASTER_KEYS",
    read: () => ({ api }) => rotate(api),
  }),
  "secret make-master-key": defineCommand({
    help: "  secret make-master-key     Make a key for MUSTER_MASTER_KEYS",
    read: ({ now }) => () => Promise.resolve(makeMasterKey(now)),
  }),
};

/** What is wrong is not quoted: it may be the value. */
function readSecretName(name: string): string {
  if (SecretName.safeParse(name).success) return name;
  throw new UsageError("Cannot use the name: it must be 1 to 100 of A-Z 0-9 _, starting with a letter");
}

function readType(value: string): string {
  const parsed = AllowedType.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new UsageError(`Cannot allow type "${value}": it must be a type of job, or its beginning like mail.*`);
}

/** Makes a master key: 32 random bytes, under an id that tells when. */
export function makeMasterKey(now: number): Outcome {
  const random = (bytes: number) => base64url.encode(crypto.getRandomValues(new Uint8Array(bytes)));
  const id = `k${new Date(now).toISOString().slice(0, 10).replaceAll("-", "")}-${random(3)}`;
  const masterKeys = { [id]: random(32) };
  return {
    record: { masterKeys },
    text: "A master key. It is shown once. Where MUSTER_MASTER_KEYS has others, put it first, before them:\n\n" +
      `MUSTER_MASTER_KEYS=${JSON.stringify(masterKeys)}`,
  };
}

/** Piece by piece, as each call does a hundred; cut off, it is simply begun again. */
async function rotate(api: Api): Promise<Outcome> {
  let rotatedCount = 0;
  let unreadableCount = 0;
  let after: string | undefined;
  while (true) {
    const json = after === undefined ? {} : { after };
    const piece = await api.post("/secrets/rotate-master-key", RotateMasterKeyAnswer, json);
    rotatedCount += piece.rotatedCount;
    unreadableCount += piece.unreadableCount;
    if (piece.next !== null) {
      after = piece.next;
      continue;
    }
    if (unreadableCount > 0) {
      throw new UnavailableError(
        `Cannot rotate ${unreadableCount} secrets: their master key is missing or does not fit (${rotatedCount} others are done)`,
        { advice: "Put the key that they were encrypted with back into MUSTER_MASTER_KEYS, or set them anew" },
      );
    }
    const { keyId, leftCount } = piece;
    const rest = leftCount === 0
      ? "no secret needs another key any more: the older ones can be removed from MUSTER_MASTER_KEYS"
      : `${leftCount} were set meanwhile with an older key: run this again`;
    return {
      record: { keyId, rotatedCount, leftCount },
      text: printableLine(`Encrypted ${rotatedCount} secrets anew with master key ${keyId}; ${rest}`),
    };
  }
}
