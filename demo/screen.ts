import { styleText } from "node:util";

const barWidth = 30;

/** What the demo shows while it works: lines that stay, and on a terminal one that is drawn over. */
export class Screen {
  readonly #isTerminal = Deno.stdout.isTerminal();
  #isDrawn = false;
  #shown = -1;

  title(text: string): void {
    this.#write(`\n${styleText("bold", text)}`);
  }

  say(text: string): void {
    this.#write(`  ${text}`);
  }

  done(text: string): void {
    this.#write(`  ${styleText("green", "✓")} ${text}`);
  }

  /** Shows how far something is; without a terminal only each quarter. */
  progress(fraction: number, text: string): void {
    if (this.#isTerminal) {
      const full = Math.round(fraction * barWidth);
      this.#draw(`  ${"█".repeat(full)}${"░".repeat(barWidth - full)} ${text}`);
      return;
    }
    const quarter = Math.floor(fraction * 4);
    if (quarter === this.#shown) return;
    this.#shown = quarter;
    console.log(`  ${Math.round(fraction * 100)} % ${text}`);
  }

  #draw(text: string): void {
    Deno.stdout.writeSync(new TextEncoder().encode(`\r\x1b[2K${text}`));
    this.#isDrawn = true;
  }

  #write(text: string): void {
    if (this.#isDrawn) Deno.stdout.writeSync(new TextEncoder().encode("\r\x1b[2K"));
    this.#isDrawn = false;
    this.#shown = -1;
    console.log(text);
  }
}
