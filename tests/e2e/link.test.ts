import assert from "node:assert/strict";
import { decodeJwt, SignJWT } from "jose";
import { Link } from "../../worker/link.ts";
import { enrollDevice } from "../support/device.ts";
import { project } from "../support/project.ts";
import { createEnrollmentToken, createTenant } from "../support/tenant.ts";
import { until } from "./world.ts";

Deno.test("a link whose channel the service closed joins again by itself, and hears the next wake", async () => {
  const tenant = await createTenant("link");
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { enrolled, rpc } = await enrollDevice(enrollmentToken);
  // The service closes a channel when its token ends, and the client library leaves it closed.
  const shortLived = await new SignJWT(decodeJwt(enrolled.accessToken))
    .setProtectedHeader({ alg: "HS256", typ: "JWT" })
    .setExpirationTime("2s")
    .sign(new TextEncoder().encode(project.jwtSecret));
  const heard: string[] = [];
  let wakes = 0;
  const link = new Link({
    url: project.url,
    publishableKey: project.publishableKey,
    workerId: enrolled.workerId,
    tenantId: enrolled.tenantId,
    token: shortLived,
    log: () => {},
    onOpen: () => heard.push("open"),
    onClosed: () => heard.push("closed"),
    onNudge: () => {},
    onWake: () => wakes += 1,
  });
  link.open();
  try {
    await until("the channel is closed", () => Promise.resolve(heard.includes("closed")));
    link.setToken(enrolled.accessToken);
    await until("it is open again", () => Promise.resolve(heard.at(-1) === "open"));
    assert.deepEqual(heard, ["open", "closed", "open"]);

    const worker = { capabilities: [], labels: {}, slots: 1, listening: true, session_id: crypto.randomUUID() };
    await rpc("hello", { worker, running: [] });
    await until("a wake is heard", () => Promise.resolve(wakes === 1));
  } finally {
    await link.close();
  }
});
