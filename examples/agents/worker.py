#!/usr/bin/env python3
"""A worker for Hostler (see docs/PROTOCOL.md) that knows the tasks echo, sleep and fail."""
import json, os, sys, threading
beat, called_off = 5000, threading.Event()

def send(**message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

def work(task, op):
    if op["op"] not in ("echo", "sleep"):
        raise ValueError(op.get("message", "no such op"))
    for left in range(op["ms"] if op["op"] == "sleep" else 0, 0, -beat):
        send(method="task/progress", params={**task, "left_ms": left})
        if called_off.wait(min(left, beat) / 1000):
            raise InterruptedError("the task was called off")
    return op.get("value")

def run(id, task, op):
    try:
        result = work(task, op)
        if path := os.environ.get("EFFECTS_FILE"):
            with open(path, "a") as effects:
                effects.write(f"{task['task_id']} {task['attempt']} {os.environ['HOSTLER_AGENT']}\n")
        send(id=id, result=result)
    except Exception as why:
        send(id=id, error={"code": -32800 if called_off.is_set() else 1, "message": str(why)})
for message in map(json.loads, sys.stdin.buffer):
    params = message.get("params", {})
    if message["method"] == "initialize":
        beat = params["heartbeat_ms"]
        send(id=message["id"], result={"protocol_version": 1, "name": "worker.py"})
    elif message["method"] == "task/run":
        called_off, task = threading.Event(), {key: params[key] for key in ("task_id", "attempt")}
        threading.Thread(target=run, args=(message["id"], task, params["input"])).start()
    elif message["method"] == "task/cancel" and task == params:
        called_off.set()
    elif message["method"] == "shutdown":
        break
called_off.set()  # What is under way is given back, then the process ends.
