#!/bin/sh
# An `exec` agent that fails as often as its task says, then answers with the task it was given:
# command = ["sh", "exec_flaky.sh", "{{ input.fail_times }}"], output = "json"
[ "$HOSTLER_ATTEMPT" -gt "$1" ] || { echo "attempt $HOSTLER_ATTEMPT fails as asked" >&2; exit 1; }
[ -z "$EFFECTS_FILE" ] || echo "$HOSTLER_TASK_ID $HOSTLER_ATTEMPT $HOSTLER_AGENT" >>"$EFFECTS_FILE"
cat
