#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154 # recipe.sh reads these variables and sets $work
# PostgreSQL on Debian, in three layers: Debian, the server with the database that Debian's package makes, and what lets everybody in.

packages=(postgresql ca-certificates)
config='{"Cmd": ["/usr/local/bin/postgres-server"], "User": "postgres", "WorkingDir": "/var/lib/postgresql", "StopSignal": "SIGINT",
    "ExposedPorts": {"5432/tcp": {}}, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}'

layers() {
    local base own=$work/own
    base=$(debian_base)
    debian_tree "$work/full.tar" ca-certificates postgresql
    mkdir -p "$own/usr/local/bin" "$own/usr/local/etc"
    printf 'local all all trust\nhost all all all trust\n' >"$own/usr/local/etc/pg_hba.conf"
    cat >"$own/usr/local/bin/postgres-server" <<'END'
#!/bin/sh
# The version is Debian's to choose.
set -e
program=$(ls /usr/lib/postgresql/*/bin/postgres)
configuration=$(ls /etc/postgresql/*/main/postgresql.conf)
exec "$program" -c "config_file=$configuration" -c hba_file=/usr/local/etc/pg_hba.conf -c 'listen_addresses=*' -c ssl=off "$@"
END
    chmod 0755 "$own/usr/local/bin/postgres-server"
    add_tree "$work/own.tar" "$own"
    printf '%s\n' --layer "$base" --onto "$base" "$work/full.tar" --layer "$work/own.tar"
}

# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"
