#!/bin/sh
# An `exec` agent that takes its task from argv: command = ["exec_task.sh", "{{ input.name }}"]
[ -n "$1" ] || { echo "expected a name" >&2; exit 2; }
printf 'Hello, %s!\n' "$1"
