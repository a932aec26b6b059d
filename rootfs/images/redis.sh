#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154 # recipe.sh reads these variables and sets $work
# Redis on Debian, in two layers: Debian, and the server, which keeps everything in memory.

packages=(redis-server ca-certificates)
config='{"Cmd": ["redis-server", "--bind", "*", "--protected-mode", "no", "--save", "", "--appendonly", "no"], "User": "redis",
    "WorkingDir": "/var/lib/redis", "ExposedPorts": {"6379/tcp": {}}, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}'

layers() {
    local base
    base=$(debian_base)
    debian_tree "$work/full.tar" ca-certificates redis-server
    printf '%s\n' --layer "$base" --onto "$base" "$work/full.tar"
}

# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"
