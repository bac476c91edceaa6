#!/usr/bin/env node
// A worker for Hostler (see docs/PROTOCOL.md) that knows the tasks echo, sleep and fail.
import { appendFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
const { EFFECTS_FILE, HOSTLER_AGENT } = process.env;
const send = (message) => process.stdout.write(JSON.stringify({ jsonrpc: "2.0", ...message }) + "\n");

async function work({ task_id, attempt, input }, signal) {
  if (!["echo", "sleep"].includes(input.op)) throw new Error(input.message ?? "no such op");
  if (input.op === "sleep")
    for (let left = input.ms; left > 0; left -= beat) {
      send({ method: "task/progress", params: { task_id, attempt, left_ms: left } });
      await wait(Math.min(left, beat), null, { signal });
    }
  if (EFFECTS_FILE) appendFileSync(EFFECTS_FILE, `${task_id} ${attempt} ${HOSTLER_AGENT}\n`);
  return input.value ?? null;
}

let beat = 5000, current = null, rest = "";
const handle = { // What the host may send.
  initialize(params, id) {
    beat = params.heartbeat_ms;
    send({ id, result: { protocol_version: 1, name: "worker.mjs" } });
  },
  "task/run"(task, id) {
    const stop = new AbortController();
    current = { ...task, stop };
    work(task, stop.signal).then((result) => send({ id, result }), ({ message }) =>
      send({ id, error: { code: stop.signal.aborted ? -32800 : 1, message } }));
  },
  "task/cancel": ({ task_id, attempt }) =>
    current.task_id === task_id && current.attempt === attempt && current.stop.abort(),
  shutdown: () => (current?.stop.abort(), process.stdin.destroy()), // Gives back what is under way.
};
process.stdin.setEncoding("utf8").on("end", handle.shutdown).on("data", (chunk) => {
  const lines = (rest + chunk).split("\n"); // `readline` also splits at U+2028, which JSON may hold.
  rest = lines.pop();
  for (const { method, params, id } of lines.map((line) => JSON.parse(line))) handle[method]?.(params, id);
});
