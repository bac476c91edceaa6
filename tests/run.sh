#!/bin/sh
# Runs a test command in a temporary directory of its own, and fails if it left anything behind:
# a process of Hostler's or of its Postgres, or a file.
set -eu

tmp=$(mktemp -d "${TMPDIR:-/tmp}/hostler-test.XXXXXX")
chmod 711 "$tmp"

# Pids that carry the mark of a keeper, or whose command line names the directory.
marked() {
    for proc in /proc/[0-9]*; do
        pid=${proc#/proc/}
        [ "$pid" != $$ ] || continue
        if tr '\0' '\n' 2>/dev/null <"$proc/environ" | grep -q '^HOSTLER_MARK=' ||
            tr '\0' ' ' 2>/dev/null <"$proc/cmdline" | grep -qF "$tmp"; then
            echo "$pid"
        fi
    done 2>/dev/null | sort
}

marked >"$tmp.before"
status=0
TMPDIR=$tmp "$@" || status=$?

# What the last test started may need a moment to end.
tries=50
while :; do
    marked >"$tmp.after"
    left=$(comm -13 "$tmp.before" "$tmp.after")
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
