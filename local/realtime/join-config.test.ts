import assert from "node:assert/strict";
import { JoinConfig, joinToken } from "./join-config.ts";

Deno.test("realtime: a malformed value takes its field's default and fails nothing", () => {
  for (
    const payload of [null, "text", {}, { config: 1 }, { config: { private: "yes", broadcast: [], presence: "on" } }]
  ) {
    const { presenceKey, ...config } = JoinConfig.parse(payload);
    assert.match(presenceKey, /^[0-9a-f-]{36}$/);
    assert.deepEqual(config, {
      userToken: undefined,
      accessToken: undefined,
      isPrivate: false,
      ack: false,
      self: false,
      replicationReady: false,
      asksReplay: false,
      replay: undefined,
      presenceEnabled: false,
      postgresChanges: [],
    });
  }
});

Deno.test("realtime: flags may be words, and a presence key any scalar", () => {
  const config = JoinConfig.parse({
    config: { private: "TRUE", broadcast: { ack: "false", self: true }, presence: { key: 7, enabled: "True" } },
  });
  assert.deepEqual(
    [config.isPrivate, config.ack, config.self, config.presenceKey, config.presenceEnabled],
    [true, false, true, "7", true],
  );
});

Deno.test("realtime: a channel lives by user_token, else access_token, else the connection's; a gateway's key is none", () => {
  const cases: [object, string][] = [
    [{}, "connection"],
    [{ access_token: "a" }, "a"],
    [{ access_token: "a", user_token: "u" }, "u"],
    [{ access_token: "sb_publishable_x", user_token: "u" }, "connection"],
    [{ user_token: "sb_secret_x" }, "connection"],
    [{ access_token: 7 }, "connection"],
  ];
  for (const [payload, expected] of cases) assert.equal(joinToken(JoinConfig.parse(payload), "connection"), expected);
});
