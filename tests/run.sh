#!/bin/sh
# Runs a test command in a temporary directory of its own, and fails if it left anything behind:
# a process of Hostler's or of its Postgres, or a file.
set -eu

tmp=$(mktemp -d "${TMPDIR:-/tmp}/hostler-test.XXXXXX")
chmod 711 "$tmp"

# Pids that have to do with the directory: by their environment, command line or open files.
marked() {
    for proc in /proc/[0-9]*; do
        pid=${proc#/proc/}
        [ "$pid" != $$ ] || continue
        if grep -qsF "$tmp" "$proc/environ" "$proc/cmdline" ||
            find "$proc/fd" -maxdepth 1 -lname "$tmp*" 2>/dev/null | grep -q .; then
            echo "$pid"
        fi
    done | sort
}

marked >"$tmp.before"
status=0
TMPDIR=$tmp "$@" || status=$?

# What the last test started may need a moment to end.
tries=50
while :; do
    marked >"$tmp.after"
    # What looked has its own name in the list, and is gone by now.
    left=$(comm -13 "$tmp.before" "$tmp.after" |
        while read -r pid; do [ ! -d "/proc/$pid" ] || echo "$pid"; done)
    [ -n "$left" ] && [ "$tries" -gt 0 ] || break
    tries=$((tries - 1))
    sleep 0.2
done
rm -f "$tmp.before" "$tmp.after"

if [ -n "$left" ]; then
    echo "the tests left processes behind:" >&2
    for pid in $left; do
        echo "  $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)" >&2
    done
    status=1
fi
if ! rmdir "$tmp" 2>/dev/null; then
    echo "the tests left files behind in $tmp:" >&2
    find "$tmp" -mindepth 1 -maxdepth 2 >&2
    status=1
fi
exit "$status"
