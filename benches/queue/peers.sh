#!/bin/sh
# Installs the peers of `make bench-queue` into a directory outside of the clone, and says what it does.
# What is there already, in the pinned version, is left alone. Ten minutes of cargo the first time.
#
#   benches/queue/peers.sh           into $BENCH_PEERS, else ~/.cache/hostler/peers
#   BENCH_PEERS=none make bench-queue    without the peers
set -eu

here=$(cd "$(dirname "$0")/peers" && pwd)
to=${BENCH_PEERS:-$HOME/.cache/hostler/peers}
if [ "$to" = none ]; then
    echo "peers: left out, as BENCH_PEERS says"
    exit 0
fi
mkdir -p "$to/node" "$to/python" "$to/sql"

# Whether the manifest $1 is the one that was installed last; $2 is the copy of that one.
installed() { cmp -s "$1" "$2"; }

say() { echo "peers: $*"; }

# A peer that cannot be had is left out of the benchmark, which says so.
missing=0
lacks() {
    say "$1"
    missing=$((missing + 1))
}

node() {
    cp "$here"/node/*.mjs "$to/node/"
    installed "$here/node/package.json" "$to/node/installed" && return
    say "npm install: graphile-worker, pg-boss, and the Node that they need, in $to/node"
    cp "$here/node/package.json" "$to/node/"
    (cd "$to/node" && npm install --no-audit --no-fund --no-package-lock --loglevel=error) || return
    cp "$here/node/package.json" "$to/node/installed"
}

python() {
    cp "$here"/python/*.py "$to/python/"
    installed "$here/python/requirements.txt" "$to/python/installed" && return
    say "pip install: procrastinate, pgqueuer and pgmq's SQL, in $to/python"
    python3 -m venv "$to/python/venv" || return
    "$to/python/venv/bin/pip" install -q --disable-pip-version-check \
        -r "$here/python/requirements.txt" || return
    cp "$to"/python/venv/lib/python3*/site-packages/pgmq/sql/pgmq.sql "$to/sql/pgmq.sql" || return
    cp "$here/python/requirements.txt" "$to/python/installed"
}

rust() {
    say "cargo build: graphile_worker, apalis, awa, sqlxmq and pgmq's client, in $to/target"
    CARGO_TARGET_DIR=$to/target nice -n 10 cargo build --release --locked --quiet \
        --manifest-path "$here/rust/Cargo.toml" || return
    # This crate ships its schema as migrations beside its source.
    manifest=$(cargo metadata --locked --format-version 1 \
        --manifest-path "$here/rust/Cargo.toml" |
        tr ',' '\n' | sed -n 's/^"manifest_path":"\(.*\/sqlxmq-[0-9.]*\/Cargo.toml\)".*/\1/p')
    cat "$(dirname "$manifest")"/migrations/*.up.sql >"$to/sql/sqlxmq.sql"
}

node || lacks "npm failed: graphile-worker and pg-boss are left out"
python || lacks "pip failed: procrastinate, PgQueuer and pgmq are left out"
rust || lacks "cargo failed: graphile_worker, apalis, awa, sqlxmq and pgmq are left out"
say "$([ "$missing" = 0 ] && echo all || echo "not all") are in $to"
