import postgres from "postgres";

/** Round trips of NOTIFY to another connection and back, in milliseconds: the yardstick of the same Postgres. */
export async function listenNotify(dbUrl: string, samples: number): Promise<number[]> {
  const [asking, answering] = [postgres(dbUrl, { max: 1 }), postgres(dbUrl, { max: 1 })];
  try {
    let arrived = () => {};
    await answering.listen("bench_there", () => void answering.notify("bench_back", ""));
    await asking.listen("bench_back", () => arrived());
    const times: number[] = [];
    for (let i = 0; i < samples; i++) {
      const back = new Promise<void>((resolve) => arrived = resolve);
      const began = performance.now();
      await asking.notify("bench_there", "");
      await back;
      times.push(performance.now() - began);
    }
    return times;
  } finally {
    await Promise.all([asking.end(), answering.end()]);
  }
}
