import assert from "node:assert/strict";
import { barChart, lineChart } from "./plot.ts";

const chart = { title: "A & B", xLabel: "jobs", yLabel: "jobs a second" };

Deno.test("lineChart() puts the points where their values are", () => {
  const svg = lineChart(chart, [{ name: "Muster", points: [[0, 0], [5, 50], [10, 100]] }]);
  const [first, middle, last] = /points="([^"]+)"/.exec(svg)![1]!.split(" ").map((pair) => pair.split(",").map(Number));
  assert.equal(middle![0], (first![0]! + last![0]!) / 2);
  assert.equal(middle![1], (first![1]! + last![1]!) / 2);
  assert.ok(first![1]! > last![1]!, "up is more");
});

Deno.test("lineChart() has equal steps for equal factors on a logarithmic axis", () => {
  const svg = lineChart({ ...chart, logarithmic: { x: true } }, [{
    name: "Muster",
    points: [[1e4, 1], [1e5, 1], [1e6, 1]],
  }]);
  const [a, b, c] = /points="([^"]+)"/.exec(svg)![1]!.split(" ").map((pair) => Number(pair.split(",")[0]));
  assert.equal(b! - a!, c! - b!);
  assert.match(svg, />10 k</);
  assert.match(svg, />1 M</);
});

Deno.test("barChart() draws a bar as high as its value, and its range", () => {
  const svg = barChart(chart, [
    { name: "Muster", value: 100, min: 90, max: 110 },
    { name: "graphile batched", value: 50, min: 50, max: 50 },
  ]);
  const [first, second] = [...svg.matchAll(/<rect x[^>]*height="([\d.]+)"/g)].map(([, height]) => Number(height));
  assert.ok(Math.abs(first! / second! - 2) < 0.01);
});

Deno.test("a picture spells out signs that mean something in SVG", () => {
  const svg = lineChart(chart, [{ name: "<script>", points: [[1, 1]] }]);
  assert.ok(svg.includes("A &#38; B") && svg.includes("&#60;script&#62;"));
  assert.ok(!svg.includes("<script>"));
});
