/** How a route's declaration names the callers it takes; the schemes are in every OpenAPI document. */
export const callers = [{ apiKey: [] }, { bearer: [] }];

export const securitySchemes = {
  apiKey: {
    type: "apiKey",
    in: "header",
    name: "x-api-key",
    description: "API key of an executor (msk_…); also taken as a bearer token",
  },
  bearer: {
    type: "http",
    scheme: "bearer",
    description: "API key, token of a signed-in user, worker token, or the project's secret key with x-tenant-id",
  },
} as const;
