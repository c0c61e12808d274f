import assert from "node:assert/strict";
import { plantedTree } from "./planted-tree.ts";
import { signingKey } from "./signing-key.ts";

const tree = {
  "shared/auth/access-token.ts": `export const createTokenSigner = 1;\n`,
  "shared/auth/signing-key.ts": `export const name = "MUSTER_JWT_SECRET";\n`,
  "shared/auth/roles.ts": `export const workerRole = "muster_worker";\n`,
  "functions/enroll/index.ts":
    `import "../../shared/auth/access-token.ts";\nimport "../../shared/auth/signing-key.ts";\n`,
  "functions/jobs/index.ts": `import "./app.ts";\n`,
  "functions/jobs/app.ts": `import "../../shared/auth/roles.ts";\n`,
  "functions/jobs/app.test.ts": `import "../../shared/auth/access-token.ts";\n`,
  "local/functions.ts": `export const name = "MUSTER_JWT_JWK";\n`,
};

Deno.test("the check of the signing key lets through what only the function enroll reaches", async () => {
  await using planted = await plantedTree(tree);
  assert.deepEqual(await signingKey.run(planted.root), []);
});

Deno.test("the check of the signing key finds a function that reaches a signer, however far away", async () => {
  await using planted = await plantedTree({
    ...tree,
    "shared/auth/roles.ts": `export * from "./all.ts";\n`,
    "shared/auth/all.ts": `export * from "./access-token.ts";\n`,
  });
  const problems = await signingKey.run(planted.root);
  assert.equal(problems.length, 2, problems.join("\n"));
  assert.match(
    problems.join("\n"),
    /functions\/jobs\/app\.ts -> shared\/auth\/roles\.ts -> shared\/auth\/all\.ts -> shared\/auth\/access-token\.ts/,
  );
});

Deno.test("the check of the signing key finds who reads the variable by itself", async () => {
  await using planted = await plantedTree({
    ...tree,
    "functions/jobs/app.ts": `\nconst key = Deno.env.get("MUSTER_JWT_JWK");\nvoid key;\n`,
    "shared/platform.ts": `export const names = ["MUSTER_JWT_SECRET"];\n`,
  });
  const problems = await signingKey.run(planted.root);
  assert.deepEqual(problems.map((problem) => problem.split(" ")[0]).sort(), [
    "functions/jobs/app.ts:2",
    "shared/platform.ts:1",
  ]);
});
