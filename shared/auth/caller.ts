/** Who makes a request, as far as the request itself shows; the database decides what that caller may do. */
export type Caller =
  /** A key has its one tenant; a request that names another is refused. */
  | { readonly kind: "api_key"; readonly hash: string; readonly tenantId?: string | null; readonly isRepeat?: true }
  | { readonly kind: "service"; readonly tenantId: string | null }
  | { readonly kind: "member"; readonly userId: string; readonly tenantId: string | null; readonly isRepeat?: true }
  /** The token is passed on as it is: the Data API verifies it, since functions do not hold the signing key. */
  | { readonly kind: "worker"; readonly token: string };

/** The same caller for a further call of the same request: the request is counted once against its rate. */
export function repeated(caller: Caller): Caller {
  return caller.kind === "api_key" || caller.kind === "member" ? { ...caller, isRepeat: true } : caller;
}
