#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154 # recipe.sh reads these variables and sets $work
# Python on Debian: many small files, and a program that reads hundreds of them before its first line.

packages=(python3 ca-certificates)
config='{"Cmd": ["python3"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]}'

layers() {
    local base
    base=$(debian_base)
    debian_tree "$work/full.tar" ca-certificates python3
    printf '%s\n' --layer "$base" --onto "$base" "$work/full.tar"
}

# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"
