#!/bin/sh
# Installs the FastAPI program of `make bench-sessions` into a directory outside of the clone: $BENCH_PEERS,
# else ~/.cache/hostler/peers. BENCH_PEERS=none leaves it out.
set -eu

here=$(cd "$(dirname "$0")/peer" && pwd)
to=${BENCH_PEERS:-$HOME/.cache/hostler/peers}
[ "$to" != none ] || exit 0
to=$to/fastapi
mkdir -p "$to"
cp "$here/app.py" "$to/"
cmp -s "$here/requirements.txt" "$to/installed" && exit 0
echo "peer: pip install: fastapi, uvicorn and asyncpg, in $to"
python3 -m venv "$to/venv"
"$to/venv/bin/pip" install -q --disable-pip-version-check -r "$here/requirements.txt"
cp "$here/requirements.txt" "$to/installed"
