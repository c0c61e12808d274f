/**
 * Version 3.4.9 of the driver `postgres` writes to a socket that is gone when Postgres ends at the wrong moment, and
 * throws that from a timer, where nobody can catch it. The campaign ends Postgres on purpose and has to outlive that:
 * until disposed, this lets such an error pass, and no other.
 */
export function guardDriver(): Disposable {
  const pass = (event: ErrorEvent) => {
    const stack = event.error instanceof Error ? event.error.stack ?? "" : "";
    if (/reading 'write'/.test(event.message) && stack.includes("postgres/src/connection.js")) event.preventDefault();
  };
  globalThis.addEventListener("error", pass);
  return { [Symbol.dispose]: () => globalThis.removeEventListener("error", pass) };
}
