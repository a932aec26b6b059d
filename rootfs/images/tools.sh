#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154 # recipe.sh reads these variables and sets $work
# What measures networks and disks on Debian, in two layers: Debian, and iperf3, fio and the tools that set up an interface.

packages=(iperf3 fio iproute2 ca-certificates)
config='{"Cmd": ["/bin/sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}'

layers() {
    local base
    base=$(debian_base)
    debian_tree "$work/full.tar" ca-certificates fio iperf3 iproute2
    printf '%s\n' --layer "$base" --onto "$base" "$work/full.tar"
}

# shellcheck source=/dev/null
source "$(dirname "${BASH_SOURCE[0]}")/recipe.sh"
