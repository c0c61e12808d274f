import assert from "node:assert/strict";
import { heading, paragraph, table, toHtml, toMarkdown } from "./blocks.ts";

Deno.test("toHtml() escapes all text, keeps code, and links only within the API's pages", () => {
  const html = toHtml("<t>", [
    heading(1, "a <b>"),
    paragraph('`x<y>` [here](#here) [out](javascript:alert) & "q"'),
    table(["h|1"], [["<i>"]]),
  ]);
  assert.ok(html.includes("<title>&lt;t&gt;</title>"));
  assert.ok(
    html.includes('<code>x&lt;y&gt;</code> <a href="#here">here</a> [out](javascript:alert) &amp; &quot;q&quot;'),
  );
  assert.ok(html.includes("<td>&lt;i&gt;</td>"));
  assert.doesNotMatch(html, /<b>|<i>/);
});

Deno.test("toMarkdown() wraps at 120 characters and lines up the columns of tables", () => {
  const words = Array(40).fill("word").join(" ");
  const markdown = toMarkdown([heading(1, "T"), paragraph(words), table(["a", "b"], [["x|y", "long cell"]])], "Note");
  assert.ok(markdown.startsWith("# T\n\n<!-- Note -->\n\nword"));
  assert.ok(markdown.split("\n").every((line) => line.length <= 120));
  assert.ok(markdown.endsWith("| a    | b         |\n| ---- | --------- |\n| x\\|y | long cell |\n"));
});
