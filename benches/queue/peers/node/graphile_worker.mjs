// graphile-worker with the block of settings that its documentation has for high throughput.
import { run, makeWorkerUtils, Logger, WorkerPreset } from "graphile-worker";
import { URL, command, a, b, payload, out, submit, bulk, drain, pickup } from "./lib.mjs";

const preset = (worker) => ({
  extends: [WorkerPreset],
  worker: { connectionString: URL, logger: new Logger(() => () => {}), ...worker },
});
const fast = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0,
};
const start = (noop) => run({ preset: preset(fast), taskList: { noop }, noHandleSignals: true });
const utils = await makeWorkerUtils({ preset: preset({ maxPoolSize: 11 }) });
const one = (number) => utils.addJob("noop", payload(number));
const many = (numbers) =>
  utils.addJobs(numbers.map((number) => ({ identifier: "noop", payload: payload(number) })));

if (command === "setup") {
  await utils.migrate();
  await one(0);
  out({});
}
if (command === "submit") await submit(a, b, one);
if (command === "bulk") await bulk(a, b, many);
if (command === "drain") await drain(a, b, (hit) => start(() => hit(1)));
if (command === "pickup") await pickup(a, b, (ring) => start(ring), one);
