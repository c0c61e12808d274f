/** What is drawn as a line: points in the order of x. */
export type Line = { name: string; points: readonly (readonly [x: number, y: number])[] };

export type Chart = {
  title: string;
  xLabel: string;
  yLabel: string;
  logarithmic?: { x?: boolean; y?: boolean };
};

const size = { width: 720, height: 400 };
const margin = { top: 44, right: 24, bottom: 52, left: 76 };
/** Beside the lines, for their names. */
const legendWidth = 200;
/** Told apart by those who do not see all colours, too; on white, which the picture brings along. */
const colours = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/** Lines over two axes, as the text of an SVG picture. */
export function lineChart(chart: Chart, lines: readonly Line[]): string {
  const points = lines.flatMap((line) => line.points);
  const x = scale(
    points.map(([x]) => x),
    [margin.left, size.width - margin.right - legendWidth],
    chart.logarithmic?.x ?? false,
  );
  const y = scale(points.map(([, y]) => y), [size.height - margin.bottom, margin.top], chart.logarithmic?.y ?? false, {
    fromZero: true,
  });
  const drawn = lines.map(({ name, points }, n) => {
    const colour = colours[n % colours.length]!;
    const path = points.map(([px, py]) => `${round(x.at(px))},${round(y.at(py))}`).join(" ");
    const dots = points.length > 12
      ? ""
      : points.map(([px, py]) => `<circle cx="${round(x.at(px))}" cy="${round(y.at(py))}" r="3.5" fill="${colour}"/>`)
        .join("");
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>${dots}${
      legend(name, n, colour)
    }`;
  });
  return picture(chart, [
    ...x.ticks.map((value) =>
      `<text x="${round(x.at(value))}" y="${size.height - margin.bottom + 18}" text-anchor="middle">${
        short(value)
      }</text>`
    ),
    ...grid(y, size.width - margin.right - legendWidth),
    ...drawn,
  ]);
}

export type Bar = { name: string; value: number; min: number; max: number };

/** A bar for each value, with a mark for its range. */
export function barChart(chart: Chart, bars: readonly Bar[]): string {
  const y = scale(bars.flatMap(({ value, max }) => [value, max]), [size.height - margin.bottom, margin.top], false, {
    fromZero: true,
  });
  const step = (size.width - margin.left - margin.right) / bars.length;
  return picture(chart, [
    ...grid(y, size.width - margin.right),
    ...bars.map(({ name, value, min, max }, n) => {
      const middle = margin.left + (n + 0.5) * step;
      const width = Math.min(step * 0.6, 90);
      return `<rect x="${round(middle - width / 2)}" y="${round(y.at(value))}" width="${round(width)}" height="${
        round(y.at(0) - y.at(value))
      }" fill="${name.startsWith("Muster") ? colours[0] : colours[1]}"/>` +
        `<path d="M${round(middle)} ${round(y.at(min))}V${round(y.at(max))}" stroke="#333" stroke-width="1.5"/>` +
        `<text x="${round(middle)}" y="${size.height - margin.bottom + 18}" text-anchor="middle">${
          escape(name)
        }</text>` +
        `<text x="${round(middle)}" y="${round(y.at(max) - 6)}" text-anchor="middle">${short(value)}</text>`;
    }),
  ]);
}

type Scale = { at(value: number): number; ticks: number[] };

function scale(
  values: readonly number[],
  [from, to]: readonly [number, number],
  logarithmic: boolean,
  { fromZero = false } = {},
): Scale {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  if (logarithmic) {
    const [low, high] = [
      Math.floor(Math.log10(least)),
      Math.max(Math.ceil(Math.log10(most)), Math.floor(Math.log10(least)) + 1),
    ];
    return {
      at: (value) => from + (Math.log10(value) - low) / (high - low) * (to - from),
      ticks: Array.from({ length: high - low + 1 }, (_, n) => 10 ** (low + n)),
    };
  }
  const low = fromZero ? 0 : least;
  const step = niceStep((most - low) / 5);
  const high = fromZero ? Math.ceil(most / step) * step || 1 : most === low ? low + 1 : most;
  return {
    at: (value) => from + (value - low) / (high - low) * (to - from),
    ticks: Array.from(
      { length: Math.floor((high - low) / step + 1e-9) + 1 },
      (_, n) => Math.ceil(low / step) * step + n * step,
    )
      .filter((tick) => tick <= high * (1 + 1e-9)),
  };
}

/** 1, 2 or 5 times a power of ten. */
function niceStep(rough: number): number {
  if (!(rough > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999)!;
}

function grid(y: Scale, right: number): string[] {
  return y.ticks.map((value) =>
    `<path d="M${margin.left} ${round(y.at(value))}H${right}" stroke="#ddd"/>` +
    `<text x="${margin.left - 8}" y="${round(y.at(value) + 4)}" text-anchor="end">${short(value)}</text>`
  );
}

function legend(name: string, n: number, colour: string): string {
  const y = margin.top + 12 + n * 18;
  return `<text x="${size.width - margin.right - legendWidth + 14}" y="${y}" fill="${colour}">${escape(name)}</text>`;
}

function picture({ title, xLabel, yLabel }: Chart, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="sans-serif" font-size="12">
<title>${escape(title)}</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="${margin.left}" y="24" font-size="15">${escape(title)}</text>
<text x="${(margin.left + size.width - margin.right) / 2}" y="${size.height - 12}" text-anchor="middle">${
    escape(xLabel)
  }</text>
<text transform="translate(18 ${(margin.top + size.height - margin.bottom) / 2}) rotate(-90)" text-anchor="middle">${
    escape(yLabel)
  }</text>
${parts.join("\n")}
</svg>
`;
}

function short(value: number): string {
  if (value >= 1e6) return `${Number((value / 1e6).toPrecision(3))} M`;
  if (value >= 1e4) return `${Number((value / 1e3).toPrecision(3))} k`;
  return String(Number(value.toPrecision(3)));
}

function round(value: number): string {
  return value.toFixed(1);
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
