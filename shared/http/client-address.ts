import { z } from "zod";

const Address = z.union([z.ipv4(), z.ipv6()]);

/**
 * The address that a request came from, as the platform's edge tells it; null when it does not. Cloudflare, in front of
 * every hosted project, sets `cf-connecting-ip` itself. Elsewhere it is the last entry of `x-forwarded-for`, which the
 * gateway added: those before it are the client's own words. See docs/decisions/0015-the-address-a-request-came-from.md.
 */
export function clientAddress(headers: Headers): string | null {
  const told = headers.get("cf-connecting-ip") ?? headers.get("x-forwarded-for")?.split(",").at(-1);
  const parsed = Address.safeParse(told?.trim());
  return parsed.success ? parsed.data : null;
}
