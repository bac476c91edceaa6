#!/usr/bin/env python3
"""The smallest `exec` agent: a task on stdin, its result on stdout, and the exit status decides."""
import json, sys

task = json.load(sys.stdin)
if not isinstance(task["input"], dict) or "text" not in task["input"]:
    sys.exit("the input needs a `text`")  # On stderr, with status 1.
json.dump({"words": len(task["input"]["text"].split()), "attempt": task["attempt"]}, sys.stdout)
