import { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";

const xLogData = 0x77;
const keepalive = 0x6b;
const xLogHeaderBytes = 25;
const postgresEpochMs = Date.UTC(2000, 0, 1);
// Unconfirmed positions make Postgres keep WAL, so this bounds what a quiet stream holds back.
const statusEveryMs = 10_000;

/**
 * Reads a replication stream until it ends, confirming what was received; resolves with the reason of the end. What
 * `onMessage` throws ends the stream, too.
 */
export function followWal(stream: Duplex, onMessage: (message: Uint8Array<ArrayBuffer>) => void): Promise<unknown> {
  return new Promise((resolve) => {
    let received = 0n;
    const confirm = (): void => {
      if (stream.writable) stream.write(standbyStatus(received));
    };
    const timer = setInterval(confirm, statusEveryMs);
    const finish = (reason: unknown): void => {
      clearInterval(timer);
      resolve(reason);
    };

    stream.on("data", (chunk: Buffer<ArrayBuffer>) => {
      if (chunk[0] === xLogData) {
        received = later(received, chunk.readBigUInt64BE(1));
        try {
          onMessage(chunk.subarray(xLogHeaderBytes));
        } catch (error) {
          stream.destroy(error instanceof Error ? error : new Error(String(error)));
        }
      } else if (chunk[0] === keepalive) {
        received = later(received, chunk.readBigUInt64BE(1));
        if (chunk[17] === 1) confirm();
      }
    });
    stream.on("error", finish);
    stream.on("end", () => finish("end of stream"));
    stream.on("close", () => finish("stream closed"));
  });
}

/** "All up to this position is written, flushed and applied": messages are handed on as they are read. */
export function standbyStatus(position: bigint, now: number = Date.now()): Buffer {
  const status = Buffer.alloc(34);
  status[0] = "r".charCodeAt(0);
  for (const offset of [1, 9, 17]) status.writeBigUInt64BE(position, offset);
  status.writeBigInt64BE(BigInt(now - postgresEpochMs) * 1000n, 25);
  return status;
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
