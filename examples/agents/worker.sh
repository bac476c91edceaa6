#!/bin/sh
# A worker for Hostler (see docs/PROTOCOL.md) in POSIX sh. It knows the tasks {"op":"echo","value":…},
# {"op":"sleep","ms":…} in whole seconds, and {"op":"fail","message":…}; with no other members.
say() { printf '{"jsonrpc":"2.0",%s}\n' "$1"; }
fail() { say "\"id\":$1,\"error\":{\"code\":$2,\"message\":$3}"; }
# Runs in the background, so that the loop below goes on reading. $1 id, $2 task, $3 attempt, $4 input
run() {
  case $4 in
    '{"op":"echo",'*) value=${4#*\"value\":} value=${value%\}} ;;
    '{"op":"sleep",'* | *',"op":"sleep"}')
      value=${4#*\"ms\":} value=${value%%[,\}]*} second=0
      while [ $((second += 1)) -le $((value / 1000)) ]; do
        say "\"method\":\"task/progress\",\"params\":{\"task_id\":\"$2\",\"attempt\":$3,\"second\":$second}"
        sleep 1
      done
      value=null ;;
    '{"op":"fail",'* | *',"op":"fail"}') value=${4#*\"message\":} value=${value%\}}
      fail "$1" 1 "${value%,\"op\":\"fail\"}"; return ;;
    *) fail "$1" 1 '"no such op"'; return ;;
  esac
  trap '' TERM # It is done: too late to call it off.
  [ -z "$EFFECTS_FILE" ] || echo "$2 $3 $HOSTLER_AGENT" >>"$EFFECTS_FILE"
  say "\"id\":$1,\"result\":$value"
}
call_off() { # Status 143: it was killed at work, and has not answered.
  kill "$job" 2>/dev/null && wait "$job" 2>/dev/null
  [ $? -ne 143 ] || fail "$id" -32800 '"called off"'
}
while IFS= read -r line; do
  this=${line#*\"id\":} this=${this%%,*} task=${line#*\"task_id\":\"} attempt=${line#*\"attempt\":}
  case ${line#*\"method\":\"} in
    initialize\"*) say "\"id\":$this,\"result\":{\"protocol_version\":1,\"name\":\"worker.sh\"}" ;;
    task/run\"*) id=$this input=${line#*,\"input\":}
      run "$id" "${task%%\"*}" "${attempt%%,*}" "${input%\}\}}" & job=$! ;;
    task/cancel\"*) call_off ;;
    shutdown\"*) break ;;
  esac
done
call_off # What is under way is given back.
