import assert from "node:assert/strict";
import { decodeJwt, SignJWT } from "jose";
import { Link } from "../../worker/link.ts";
import { enrollDevice } from "../support/device.ts";
import { project } from "../support/project.ts";
import { createEnrollmentToken, createTenant } from "../support/tenant.ts";
import { until } from "./world.ts";

/** A link of an enrolled worker, what it has heard, and tokens that last as long as the test says. */
async function createLink(lastsSeconds: number) {
  const tenant = await createTenant("link");
  const { enrollmentToken } = await createEnrollmentToken(tenant.id);
  const { enrolled, rpc } = await enrollDevice(enrollmentToken);
  const sign = (seconds: number) =>
    new SignJWT(decodeJwt(enrolled.accessToken))
      .setProtectedHeader({ alg: "HS256", typ: "JWT" })
      .setExpirationTime(`${seconds}s`)
      .sign(new TextEncoder().encode(project.jwtSecret));
  const heard: string[] = [];
  const link = new Link({
    url: project.url,
    publishableKey: project.publishableKey,
    workerId: enrolled.workerId,
    tenantId: enrolled.tenantId,
    token: await sign(lastsSeconds),
    mode: "push",
    log: () => {},
    onOpen: () => heard.push("open"),
    onClosed: () => heard.push("closed"),
    onNudge: () => {},
    onWake: () => heard.push("wake"),
  });
  link.open();
  const hello = () => {
    const worker = { capabilities: [], labels: {}, slots: 1, listening: true, session_id: crypto.randomUUID() };
    return rpc("hello", { worker, running: [] });
  };
  return { link, heard, sign, hello, accessToken: enrolled.accessToken };
}

Deno.test("a link whose channel the service closed joins again by itself, and hears the next wake", async () => {
  // The service closes a channel when its token ends, and the client library leaves it closed.
  const { link, heard, hello, accessToken } = await createLink(2);
  try {
    await until("the channel is closed", () => Promise.resolve(heard.includes("closed")));
    link.setToken(accessToken);
    await until("it is open again", () => Promise.resolve(heard.at(-1) === "open"));
    assert.deepEqual(heard, ["open", "closed", "open"]);
    await hello();
    await until("a wake is heard", () => Promise.resolve(heard.at(-1) === "wake"));
  } finally {
    await link.close();
  }
});

Deno.test("a link whose token is renewed in time stays joined past the end of the old one, and hears throughout", async () => {
  const { link, heard, sign, hello } = await createLink(8);
  try {
    await until("the channel is open", () => Promise.resolve(heard.at(-1) === "open"));
    const endsAt = Date.now() + 9_000;
    link.setToken(await sign(600));
    let wakes = 0;
    await until("the first token has ended", async () => {
      await hello();
      wakes += 1;
      await until("the wake is heard", () => Promise.resolve(heard.filter((what) => what === "wake").length === wakes));
      return Date.now() > endsAt;
    });
    assert.equal(heard.filter((what) => what !== "wake").join(), "open");
  } finally {
    await link.close();
  }
});
