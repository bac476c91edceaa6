// What the peers' programs share; rust/src/lib.rs has the table of commands and results.
import pg from "pg";

export const URL = process.env.BENCH_URL;
export const [command, a, b] = process.argv.slice(2).map((word, place) => (place ? +word : word));
export const payload = (number) => ({ n: number, pad: "x".repeat(180) });
export const numbers = (first, end) => Array.from({ length: end - first }, (_, k) => first + k);

const now = () => Number(process.hrtime.bigint()) / 1e9;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export function out(result) {
  process.stdout.write("RESULT " + JSON.stringify(result) + "\n", () => process.exit(0));
}

// `one(number)` submits one job.
export async function submit(seconds, clients, one) {
  await one(0);
  let count = 0;
  const began = now();
  const loop = async () => {
    while (now() - began < seconds) {
      await one(count);
      count++;
    }
  };
  await Promise.all(Array.from({ length: clients }, loop));
  out({ count, seconds: now() - began });
}

// `many(numbers)` submits so many jobs in one call.
export async function bulk(count, size, many) {
  const began = now();
  for (let first = 0; first < count; first += size) {
    await many(numbers(first, Math.min(count, first + size)));
  }
  out({ count, seconds: now() - began });
}

// `start(hit)` starts a worker that calls hit(n) for n handled jobs.
export async function drain(wanted, limit, start) {
  const moments = new Float64Array(wanted);
  let handled = 0;
  let full;
  const done = new Promise((resolve) => (full = resolve));
  const hit = (n) => {
    const at = now();
    while (n-- > 0 && handled < wanted) moments[handled++] = at;
    if (handled >= wanted) full(false);
  };
  const client = new pg.Client({ connectionString: URL });
  await client.connect();
  const began = now();
  await start(hit);
  const capped = await Promise.race([done, sleep(limit * 1000).then(() => true)]);
  if (handled === 0) return out({ handled });
  const last = moments[handled - 1];
  const report = { handled, capped, seconds: (capped ? now() : last) - began };
  const third = Math.floor(handled / 3);
  if (third > 10) {
    const first = third / (moments[third - 1] - began);
    report.thirds = third / (last - moments[handled - 1 - third]) / first;
  }
  while (!capped && process.env.BENCH_DURABLE) {
    const { rows } = await client.query(process.env.BENCH_DURABLE);
    report.completed = now() - began;
    if (Object.values(rows[0])[0]) break;
    if (report.completed > limit + 20) throw new Error("it is never completed");
    await sleep(10);
  }
  out(report);
}

// `start(ring)` starts a worker whose handler rings; `one(number)` submits one job.
export async function pickup(count, limit, start, one) {
  const warmUps = 5;
  let heard;
  await start(() => heard?.(now()));
  await sleep(1000);
  const samples = [];
  const begin = now();
  for (let number = 0; number < count + warmUps && now() - begin < limit; number++) {
    const rung = new Promise((resolve) => (heard = resolve));
    const began = now();
    const submitted = one(number);
    const at = await rung;
    await submitted;
    if (number >= warmUps) samples.push((at - began) * 1e3);
    await sleep(5 + Math.random() * 20);
  }
  out({ samples });
}
