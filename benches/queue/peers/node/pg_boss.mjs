// pg-boss: batches, fetched without a pause as long as they come back full, woken by NOTIFY.
import { PgBoss } from "pg-boss";
import { URL, command, a, b, payload, out, submit, bulk, drain, pickup } from "./lib.mjs";

const QUEUE = "noop";
const work = {
  localConcurrency: 10,
  batchSize: 500,
  burstWhenBatchFull: true,
  pollingIntervalSeconds: 0.5,
};

async function boss(more = {}) {
  const boss = new PgBoss({ connectionString: URL, max: 12, schedule: false, ...more });
  boss.on("error", (error) => console.error(error.message));
  boss.on("warning", () => {});
  await boss.start();
  return boss;
}

const submitter = await boss();
const listener = () => boss({ useListenNotify: true });
const one = (number) => submitter.send(QUEUE, payload(number));
const many = (numbers) =>
  submitter.insert(QUEUE, numbers.map((number) => ({ data: payload(number) })));

if (command === "setup") {
  await submitter.createQueue(QUEUE, { notify: true });
  await one(0);
  out({});
}
if (command === "submit") await submit(a, b, one);
if (command === "bulk") await bulk(a, b, many);
if (command === "drain") {
  const worker = await listener();
  await drain(a, b, (hit) => worker.work(QUEUE, work, async (jobs) => hit(jobs.length)));
}
if (command === "pickup") {
  const worker = await listener();
  await pickup(a, b, (ring) => worker.work(QUEUE, work, async () => ring()), one);
}
