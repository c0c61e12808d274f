import assert from "node:assert/strict";
import { JoinConfig } from "./join-config.ts";

Deno.test("a malformed value takes its field's default and fails nothing", () => {
  for (
    const payload of [null, "text", {}, { config: 1 }, { config: { private: "yes", broadcast: [], presence: "on" } }]
  ) {
    const { presenceKey, ...config } = JoinConfig.parse(payload);
    assert.match(presenceKey, /^[0-9a-f-]{36}$/);
    assert.deepEqual(config, {
      token: undefined,
      isPrivate: false,
      ack: false,
      self: false,
      replicationReady: false,
      replay: undefined,
      presenceEnabled: false,
      postgresChanges: [],
    });
  }
});

Deno.test("flags may be words, a presence key any scalar, and user_token goes first", () => {
  const config = JoinConfig.parse({
    config: { private: "TRUE", broadcast: { ack: "false", self: true }, presence: { key: 7, enabled: "True" } },
    access_token: "a",
    user_token: "u",
  });
  assert.deepEqual(
    [config.isPrivate, config.ack, config.self, config.presenceKey, config.presenceEnabled, config.token],
    [true, false, true, "7", true, "u"],
  );
});
