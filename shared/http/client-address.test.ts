import assert from "node:assert/strict";
import { clientAddress } from "./client-address.ts";

const addressOf = (headers: Record<string, string>): string | null => clientAddress(new Headers(headers));

Deno.test("clientAddress() goes by Cloudflare's header, else by the last hop, which the gateway wrote", () => {
  assert.equal(addressOf({ "cf-connecting-ip": "192.0.2.1", "x-forwarded-for": "10.0.0.1" }), "192.0.2.1");
  assert.equal(addressOf({ "x-forwarded-for": "10.0.0.1, 192.0.2.7" }), "192.0.2.7");
  assert.equal(addressOf({ "x-forwarded-for": " 2001:db8::1 " }), "2001:db8::1");
  assert.equal(addressOf({ "x-forwarded-for": "::ffff:192.0.2.1" }), "::ffff:192.0.2.1");
});

Deno.test("clientAddress() knows no address where none is told, or what is told is none", () => {
  for (
    const headers of [
      {},
      { "x-forwarded-for": "" },
      { "x-forwarded-for": "10.0.0.1," },
      { "x-forwarded-for": "unknown" },
      { "x-forwarded-for": "10.0.0.1/8" },
      { "x-forwarded-for": "10.0.0.1:443" },
      { "x-forwarded-for": "fe80::1%eth0" },
      { "cf-connecting-ip": "999.0.0.1", "x-forwarded-for": "10.0.0.1" },
    ]
  ) assert.equal(addressOf(headers), null, JSON.stringify(headers));
});
