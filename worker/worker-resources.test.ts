import assert from "node:assert/strict";
import { limits } from "../shared/contracts/limits.ts";
import { InvalidRequestError, UnavailableError } from "../shared/errors.ts";
import { WorkerResources } from "./worker-resources.ts";

/** Resources over a control plane that notes what it is told; `answers` are given in turn, then all goes well. */
function createResources(answers: (() => Promise<void>)[] = []) {
  const told: string[] = [];
  const changes: (() => void)[] = [];
  const tell = async (what: string) => {
    told.push(what);
    for (const change of changes.splice(0)) change();
    await answers.shift()?.();
  };
  const resources = new WorkerResources({
    hold: (held) => tell(held.map(({ name }) => name).join("+")),
    release: (names, reason) => tell(`${reason} ${names}`),
    log: () => {},
  });
  const untilTold = async (count: number) => {
    while (told.length < count) await new Promise<void>((resolve) => changes.push(resolve));
  };
  return { resources, told, untilTold };
}

Deno.test("held resources are told of again before their leases end, several in one call", async () => {
  const { resources, told, untilTold } = createResources();
  // A third of the shortest lease: the test waits for two touches of about three seconds each.
  await resources.hold("model", { leaseSeconds: limits.resourceLeaseLeastSeconds });
  await resources.hold("session", { leaseSeconds: limits.resourceLeaseLeastSeconds });
  await resources.hold("file", { leaseSeconds: 3600 });
  await untilTold(4);
  assert.deepEqual(told, ["model", "session", "file", "model+session"]);
  await resources.release("model", { evicted: true });
  await untilTold(6);
  assert.deepEqual(told.slice(4), ["evicted model", "session"]);
  assert.deepEqual(resources.names(), ["session", "file"]);
  resources.close();
});

Deno.test("a resource that is released while a touch is under way is not brought back", async () => {
  const gate = Promise.withResolvers<void>();
  const { resources, told } = createResources([() => Promise.resolve(), () => gate.promise]);
  await resources.hold("model");
  const touched = resources.touch("model");
  const released = resources.release("model");
  const late = resources.touch("model");
  late.catch(() => {});
  gate.resolve();
  await touched;
  await released;
  await assert.rejects(late, InvalidRequestError);
  assert.deepEqual(told, ["model", "model", "released model"]);
  resources.close();
});

Deno.test("a resource that the control plane refuses is not held", async () => {
  const { resources } = createResources([() => Promise.reject(new UnavailableError("away"))]);
  await assert.rejects(resources.hold("model"), UnavailableError);
  assert.deepEqual(resources.names(), []);
  await assert.rejects(resources.touch("model"), InvalidRequestError);
  resources.close();
});

Deno.test("a resource is refused that could not be stored", async () => {
  const { resources, told } = createResources();
  await assert.rejects(resources.hold(""), InvalidRequestError);
  await assert.rejects(resources.hold("a\u0000b"), InvalidRequestError);
  await assert.rejects(resources.hold("x".repeat(limits.keyLength + 1)), InvalidRequestError);
  await assert.rejects(resources.hold("a", { leaseSeconds: 1 }), InvalidRequestError);
  await assert.rejects(resources.hold("a", { leaseSeconds: NaN }), InvalidRequestError);
  await assert.rejects(
    resources.hold("a", { metadata: { text: "x".repeat(limits.resourceMetadataBytes) } }),
    InvalidRequestError,
  );
  assert.deepEqual(told, []);
});
