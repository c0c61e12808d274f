import assert from "node:assert/strict";
import { decodeJwt } from "jose";
import { assertLetIn, assertShutOutOfDataApi, assertShutOutOfFunctions, assertShutOutOfRealtime } from "./doors.ts";
import { enrollDevice } from "./device.ts";
import { forgedTokens, type HostileToken, signAsProject, spoiltTokens } from "./hostile-tokens.ts";
import { createEnrollmentToken, createTenant } from "./tenant.ts";

interface Attack {
  readonly workerId: string;
  readonly genuine: string;
  readonly forged: readonly HostileToken[];
  readonly spoilt: readonly HostileToken[];
}

/** Registers the tests of tokens at every public door of the project that the environment names. */
export function testHostileTokens(): void {
  Deno.test("a genuine token of a worker opens its doors", async () => {
    await withAttack(({ genuine, workerId }) => assertLetIn(genuine, workerId));
  });

  Deno.test("no forged or spoilt token opens a function", async () => {
    await withAttack(({ forged, spoilt }) => assertShutOutOfFunctions([...forged, ...spoilt]));
  });

  Deno.test("no forged or spoilt token opens the Data API", async () => {
    await withAttack(async ({ forged, spoilt, genuine }) => {
      const early = await signAsProject({ ...decodeJwt(genuine), nbf: Math.floor(Date.now() / 1000) + 3600 });
      await assertShutOutOfDataApi([...forged, ...spoilt, { what: "not good before an hour from now", token: early }]);
    });
  });

  Deno.test("no forged or spoilt token joins a channel", async () => {
    await withAttack(({ forged, spoilt, workerId }) => assertShutOutOfRealtime([...forged, ...spoilt], workerId));
  });
}

async function withAttack(act: (attack: Attack) => Promise<void>): Promise<void> {
  let fetched = 0;
  await using listener = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, () => {
    fetched += 1;
    return new Response("{}");
  });
  const tenant = await createTenant("hostile");
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { enrolled } = await enrollDevice(enrollmentToken);
  const genuine = enrolled.accessToken;
  const forged = await forgedTokens(genuine, `http://127.0.0.1:${listener.addr.port}`);
  const spoilt = await spoiltTokens(genuine);
  await act({ workerId: enrolled.workerId, genuine, forged, spoilt });
  assert.equal(fetched, 0, "a URL that a token named was fetched");
}
