import type { AnyHandlerDefinition } from "../handler.ts";
import { calcAdd } from "./calc-add.ts";
import { calcMul } from "./calc-mul.ts";
import { fileDigest } from "./file-digest.ts";

/** The handlers that the worker script brings along. */
export const builtInHandlers: readonly AnyHandlerDefinition[] = [calcAdd, calcMul, fileDigest];
