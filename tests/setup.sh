#!/bin/sh
# Makes sure that the Postgres server programs are there: the tests and the demo run their own.
set -eu

for dir in ${HOSTLER_TEST_PG_BIN:-} $(echo "$PATH" | tr ':' ' ') /usr/lib/postgresql/*/bin \
    /usr/pgsql-*/bin /usr/local/pgsql/bin /opt/homebrew/opt/postgresql@*/bin; do
    if [ -x "$dir/initdb" ] && [ -x "$dir/postgres" ]; then
        exit 0
    fi
done

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "Postgres is missing: installing it (apt-get install postgresql)"
    # The package would start a cluster of its own; nobody here needs one.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql
    exit 0
fi

cat >&2 <<'MESSAGE'
The Postgres server programs (initdb, postgres; version 14 to 18) are missing. Install them:
    Debian, Ubuntu   sudo apt-get install postgresql
    Fedora, RHEL     sudo dnf install postgresql-server
    macOS            brew install postgresql@17
or name their directory in HOSTLER_TEST_PG_BIN.
MESSAGE
exit 1
