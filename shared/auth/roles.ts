/** Roles that tokens of this system carry; each is a role of Postgres. */
export const workerRole = "muster_worker";
export const clientRole = "muster_client";
