/** Asks every few milliseconds. */
export async function untilTrue(condition) {
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 3));
}
