import assert from "node:assert/strict";
import { deviceFingerprint, verifyDeviceProof } from "../shared/auth/device-proof.ts";
import { type KeyVault, makeDeviceKey } from "./device-key.ts";
import { Identity, IdentityError, type IdentityStore, memoryIdentityStore } from "./identity.ts";

const url = "https://project.test";
const workerId = "6f2c2f3e-0d5d-4d2c-8d5f-0a1b2c3d4e5f";
const enrolled = { workerId, tenantId: crypto.randomUUID(), name: "gpu-7", publishableKey: "sb_publishable_x" };

/** A store whose private keys cannot be read, as a browser's. */
function vaultStore(): IdentityStore & { text(): Promise<string | null>; keys: Map<string, CryptoKey> } {
  const store = memoryIdentityStore();
  const keys = new Map<string, CryptoKey>();
  const vault: KeyVault = {
    async create() {
      const key = await makeDeviceKey({ extractable: false });
      keys.set(await deviceFingerprint(key.publicJwk), key.privateKey);
      return key;
    },
    find: async (publicJwk) => keys.get(await deviceFingerprint(publicJwk)) ?? null,
    remove: async (publicJwk) => void keys.delete(await deviceFingerprint(publicJwk)),
  };
  return { ...store, vault, keys, text: () => store.load() };
}

for (const [kind, makeStore] of [["text", memoryIdentityStore], ["vault", vaultStore]] as const) {
  Deno.test(`an identity whose key is kept as ${kind} is the same when it is opened again`, async () => {
    const store = makeStore();
    const first = await Identity.open(store, url);
    await first.remember(enrolled);
    const again = await Identity.open(store, url);
    assert.deepEqual([again.workerId, again.name, again.publicJwk], [workerId, "gpu-7", first.publicJwk]);
    const purpose = { kind: "refresh", workerId } as const;
    const { fingerprint } = await verifyDeviceProof(await again.prove(purpose, Date.now), purpose);
    assert.equal(fingerprint, await deviceFingerprint(first.publicJwk));
  });

  Deno.test(`an identity whose key is kept as ${kind} has both keys from the begin of a rotation to its end`, async () => {
    const store = makeStore();
    const identity = await Identity.open(store, url);
    await identity.remember(enrolled);
    const before = identity.publicJwk;
    await identity.beginRotation();
    const { publicJwk: next, proof, newProof } = await identity.proveRotation(workerId, Date.now);
    const newFingerprint = await deviceFingerprint(next);
    const old = await verifyDeviceProof(proof, { kind: "rotate", workerId, newFingerprint });
    assert.equal(old.fingerprint, await deviceFingerprint(before));
    const successor = await verifyDeviceProof(newProof, { kind: "succeed", workerId, oldProof: proof });
    assert.equal(successor.fingerprint, newFingerprint);

    // A process that comes after a crash goes on with the same two.
    const after = await Identity.open(store, url);
    assert.deepEqual([after.isRotating, after.publicJwk], [true, before]);
    await after.beginRotation();
    assert.deepEqual((await after.proveRotation(workerId, Date.now)).publicJwk, next);
    await after.finishRotation();
    const last = await Identity.open(store, url);
    assert.deepEqual([last.isRotating, last.publicJwk, last.workerId], [false, next, workerId]);
  });

  Deno.test(`an identity whose key is kept as ${kind} can give a rotation up`, async () => {
    const store = makeStore();
    const identity = await Identity.open(store, url);
    const before = identity.publicJwk;
    await identity.beginRotation();
    await identity.dropRotation();
    const again = await Identity.open(store, url);
    assert.deepEqual([again.isRotating, again.publicJwk], [false, before]);
  });
}

Deno.test("no private key is ever in the text of an identity with a vault, and none is left there that is not needed", async () => {
  const store = vaultStore();
  const identity = await Identity.open(store, url);
  await identity.beginRotation();
  const texts = [await store.text()];
  assert.equal(store.keys.size, 2);
  await identity.finishRotation();
  texts.push(await store.text());
  for (const text of texts) assert.doesNotMatch(text!, /"d"/);
  assert.deepEqual([...store.keys.keys()], [await deviceFingerprint(identity.publicJwk)]);
});

Deno.test("an identity without its private key is refused with what to do", async () => {
  const store = vaultStore();
  await Identity.open(store, url);
  store.keys.clear();
  await assert.rejects(
    Identity.open(store, url),
    (error: unknown) => error instanceof IdentityError && /private key is missing/.test(error.message),
  );
});

Deno.test("an identity of another project is not loaded, and none is made for asking", async () => {
  const store = memoryIdentityStore();
  assert.equal(await Identity.load(store, url), null);
  assert.equal(await store.load(), null);
  await Identity.open(store, url);
  await assert.rejects(Identity.load(store, "https://other.test"), IdentityError);
});
