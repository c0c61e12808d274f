import { testHostileTokens } from "../support/test-hostile-tokens.ts";

testHostileTokens();
