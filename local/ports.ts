/** Whether a TCP port of the loopback interface can be bound right now. */
export function isPortFree(port: number): boolean {
  try {
    Deno.listen({ hostname: "127.0.0.1", port }).close();
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AddrInUse || error instanceof Deno.errors.PermissionDenied) return false;
    throw error;
  }
}

/** The preferred port when it is free, else the next free one after it; 0 asks for any. */
export function freePort(preferred: number, tries = 100): number {
  if (preferred === 0) {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr as Deno.NetAddr;
    listener.close();
    return port;
  }
  for (let port = preferred; port < preferred + tries && port < 65536; port++) {
    if (isPortFree(port)) return port;
  }
  throw new Error(`Cannot find a free port from ${preferred} on: ${tries} ports are taken`);
}
