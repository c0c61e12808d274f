import assert from "node:assert/strict";
import { toText } from "../frames.ts";
import { golden } from "../golden.ts";
import { PgoutputDecoder } from "./pgoutput.ts";
import { standbyStatus } from "./wal-stream.ts";

const relation = golden(`
  'R' 00 00 40 01 'realtime' 00 'messages_2026_01_01' 00 'd' 00 03
  00 'topic' 00 00 00 00 19 ff ff ff ff
  00 'payload' 00 00 00 0e da ff ff ff ff
  01 'id' 00 00 00 0b 86 ff ff ff ff`);

Deno.test("realtime: an insert is read by the relation described before it, with null and the exact text", () => {
  const decoder = new PgoutputDecoder();
  assert.equal(decoder.decode(relation), undefined);
  const insert = decoder.decode(golden(`
    'I' 00 00 40 01 'N' 00 03
    't' 00 00 00 05 'room1'
    't' 00 00 00 08 '{"a": 1}'
    'n'`));
  assert.equal(insert?.schema, "realtime");
  assert.equal(insert.table, "messages_2026_01_01");
  const text = [...insert.row].map(([name, value]) => [name, value && toText(value)]);
  assert.deepEqual(text, [["topic", "room1"], ["payload", '{"a": 1}'], ["id", null]]);
});

Deno.test("realtime: begin, commit and whatever else passes unread", () => {
  const decoder = new PgoutputDecoder();
  for (const type of ["B", "C", "U", "D", "T", "Y", "O", "M"]) {
    assert.equal(decoder.decode(golden(`'${type}' 00 00 00 00 00 00`)), undefined);
  }
});

Deno.test("realtime: an insert of an unknown relation is an error, as the stream is then unreadable", () => {
  assert.throws(() => new PgoutputDecoder().decode(golden("'I' 00 00 40 01 'N' 00 00")), /never described/);
});

Deno.test("realtime: the standby status confirms one position as written, flushed and applied", () => {
  const status = standbyStatus(0x0102030405060708n, Date.UTC(2000, 0, 1) + 1);
  const expected = golden(
    "'r' 01 02 03 04 05 06 07 08 01 02 03 04 05 06 07 08 01 02 03 04 05 06 07 08 00 00 00 00 00 00 03 e8 00",
  );
  assert.deepEqual(new Uint8Array(status), expected);
});
