#!/bin/sh
# Fuzzes every target, or those that are named, for TIME each (600 s), from the corpus that is kept here.
# What is found that is new stays in target/fuzz/corpus; --keep takes the least that reaches the same
# code into the corpus here. What makes one fail is in target/fuzz/found, and the run ends with 1.
#
#   tests/fuzz/run.sh [--keep] [TARGET...]
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${CARGO_TARGET_DIR:-$here/../../target}/fuzz
keep=
[ "${1:-}" != --keep ] || { keep=1; shift; }
[ $# -gt 0 ] || set -- webhook signature mcp cursor export tree

# What cargo-fuzz would set; none of it needs another compiler than that of the project.
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1"
export RUSTFLAGS
# The libraries of the project, in their versions.
cp "$here/../../Cargo.lock" "$here/Cargo.lock"
machine=$(rustc -vV | sed -n 's/^host: //p')
CARGO_TARGET_DIR=$out/build cargo build --release --quiet --target "$machine" \
    --manifest-path "$here/Cargo.toml"

# Where what is fuzzed writes files: in memory if that is there, and gone with this run.
memory=/dev/shm
[ -w "$memory" ] || memory=${TMPDIR:-/tmp}
TMPDIR=$(mktemp -d "$memory/hostler-fuzz.XXXXXX")
export TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT

status=0
for target in "$@"; do
    program=$out/build/$machine/release/$target
    mkdir -p "$out/corpus/$target" "$out/found/$target"
    echo "fuzz: $target, ${TIME:=600} s"
    "$program" -max_total_time="$TIME" -timeout=10 -max_len=16384 -print_final_stats=1 \
        -artifact_prefix="$out/found/$target/" "$out/corpus/$target" "$here/corpus/$target" \
        >"$out/$target.log" 2>&1 || { status=1; tail -n 30 "$out/$target.log"; }
    grep -E '^(Done|stat::number_of_executed|SUMMARY)' "$out/$target.log" || true
    if [ -n "$keep" ]; then
        "$program" -merge=1 -use_counters=0 -max_len=16384 "$here/corpus/$target" "$out/corpus/$target" >>"$out/$target.log" 2>&1
    fi
done
exit "$status"
