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
  let last = "";
  const count = (text: string) => {
    for (const character of text) {
      if (character === "\n") lines += 1;
      const blank = /\s/.test(character);
      if (!blank && !inWord) words += 1;
      inWord = !blank;
      last = character;
    }
  };
  for await (const chunk of stream) {
    hash.update(chunk);
    bytes += chunk.byteLength;
    count(decoder.decode(chunk, { stream: true }));
    await progress(size === 0 ? 1 : bytes / size, `${bytes} of ${size} bytes`);
  }
  count(decoder.decode());
  if (last !== "" && last !== "\n") lines += 1;
  return { name, sha256: await hash.digest(), bytes, lines, words };
}
