#!/bin/sh
# A worker that answers the first task of its first process with rubbish, and is worker.sh from its
# second process on. It shows what Hostler does about an agent that breaks the protocol.
[ "$HOSTLER_GENERATION" -gt 1 ] && exec sh worker.sh
read -r hello
id=${hello#*\"id\":} id=${id%%,*}
echo "{\"jsonrpc\":\"2.0\",\"id\":$id,\"result\":{\"protocol_version\":1,\"name\":\"flaky.sh\"}}"
read -r task
echo "rubbish in place of an answer"
read -r more
