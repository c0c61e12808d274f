import { UsageError } from "../shared/usage-error.ts";

/** Reads a value from a pipe, without the line break at its end; from a terminal it is asked for and not shown. */
export async function readSecretValue(name: string): Promise<string> {
  const bytes = Deno.stdin.isTerminal() ? await askFor(name) : await new Response(Deno.stdin.readable).bytes();
  let value: string;
  try {
    value = new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/\r?\n$/, "");
  } catch {
    throw new UsageError(`Cannot set ${name}: its value must be text in UTF-8`);
  }
  if (value === "") throw new UsageError(`Cannot set ${name}: no value came on standard input`);
  return value;
}

const enter = [0x0a, 0x0d, 0x04];
const erase = [0x08, 0x7f];
const interrupt = 0x03;

async function askFor(name: string): Promise<Uint8Array> {
  const say = (text: string) => Deno.stderr.writeSync(new TextEncoder().encode(text));
  say(`Value of ${name} (it is not shown): `);
  const typed: number[] = [];
  const buffer = new Uint8Array(1024);
  Deno.stdin.setRaw(true);
  try {
    for (;;) {
      const count = await Deno.stdin.read(buffer);
      if (count === null) break;
      for (const byte of buffer.subarray(0, count)) {
        if (byte === interrupt) throw new UsageError(`Cannot set ${name}: it was interrupted`);
        if (enter.includes(byte)) return new Uint8Array(typed);
        if (!erase.includes(byte)) typed.push(byte);
        // A character is all its bytes.
        else while (((typed.pop() ?? 0) & 0xc0) === 0x80);
      }
    }
    return new Uint8Array(typed);
  } finally {
    Deno.stdin.setRaw(false);
    say("\n");
  }
}
