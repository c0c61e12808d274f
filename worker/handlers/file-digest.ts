import { z } from "zod";
import { defineHandler } from "../handler.ts";
import { runtime } from "../runtime/current.ts";

/** What `file.digest` finds out about a file. */
export interface FileReport {
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
  /** Line feeds, and one more when the last line has none. */
  readonly lines: number;
  /** Runs of characters that are not white space. */
  readonly words: number;
}

/** `file.digest`: reads the first input and writes a JSON report as an artifact. Memory does not grow with the file. */
export const fileDigest = defineHandler({
  type: "file.digest",
  payload: z.unknown(),
  async handle(job): Promise<FileReport & { report: string }> {
    const file = await job.input(0);
    const report = await digest(file.name, file.sizeBytes, await file.stream(), job.progress);
    const artifact = await job.artifact("report.json", `${JSON.stringify(report, null, 2)}\n`, {
      contentType: "application/json",
    });
    return { report: artifact.id, ...report };
  },
});

const lineFeed = 10;
/** White space beyond ASCII, as `\s` knows it. */
const wideBlanks: ReadonlySet<number> = new Set(
  [0xa0, 0x1680, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000, 0xfeff, ...Array.from({ length: 11 }, (_, i) => 0x2000 + i)],
);

function isBlank(unit: number): boolean {
  return unit < 128 ? unit === 32 || (unit >= 9 && unit <= 13) : wideBlanks.has(unit);
}

async function digest(
  name: string,
  size: number,
  stream: ReadableStream<Uint8Array>,
  progress: (fraction: number, note: string) => Promise<void>,
): Promise<FileReport> {
  const hash = runtime.sha256();
  const decoder = new TextDecoder();
  let bytes = 0;
  let lines = 0;
  let words = 0;
  let inWord = false;
  let last = 0;
  // Unit by unit: a file has millions of them, and each would be a string of its own otherwise.
  const count = (text: string) => {
    for (let index = 0; index < text.length; index += 1) {
      last = text.charCodeAt(index);
      if (last === lineFeed) lines += 1;
      const blank = isBlank(last);
      if (!blank && !inWord) words += 1;
      inWord = !blank;
    }
  };
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.byteLength;
    count(decoder.decode(chunk, { stream: true }));
    await progress(size === 0 ? 1 : bytes / size, `${bytes} of ${size} bytes`);
  }
  count(decoder.decode());
  if (bytes > 0 && last !== lineFeed) lines += 1;
  return { name, sha256: await hash.digest(), bytes, lines, words };
}
