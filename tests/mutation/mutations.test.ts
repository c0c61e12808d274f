import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { mutate } from "./mutation.ts";
import { auditMutations } from "./audit-mutations.ts";
import { policyMutations } from "./policy-mutations.ts";
import { sqlMutations } from "./sql-mutations.ts";
import { workerMutations } from "./worker-mutations.ts";

const root = resolve(import.meta.dirname!, "..", "..");
const mutations = [...sqlMutations, ...policyMutations, ...auditMutations, ...workerMutations];

Deno.test("each mutation finds its place exactly once, and the tests it names exist", async () => {
  const problems: string[] = [];
  for (const mutation of mutations) {
    try {
      mutate(await Deno.readTextFile(join(root, mutation.file)), mutation);
      for (const test of mutation.tests) await Deno.stat(join(root, test));
    } catch (error) {
      problems.push(`${mutation.name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  assert.deepEqual(problems, []);
});

Deno.test("mutations have names of their own", () => {
  assert.equal(new Set(mutations.map(({ name }) => name)).size, mutations.length);
});

Deno.test("a mutation whose text stands nowhere or twice is refused", () => {
  const mutation = { name: "m", breaks: "", file: "f", find: "a", replace: "b", tests: [] };
  assert.equal(mutate("-a-", mutation), "-b-");
  assert.throws(() => mutate("-", mutation), /0 times/);
  assert.throws(() => mutate("aa", mutation), /2 times/);
});
