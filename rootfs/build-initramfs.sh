#!/usr/bin/env bash
# Packs a static program as the guest's first file system: build-initramfs.sh INIT_BINARY OUTPUT
#
# The archive is a plain newc cpio, since the guest kernel has no decompressor. It is written here, header by header, so
# that device nodes need no root and the same program gives the same bytes: fixed order, times, owners and inodes.
set -Eeuo pipefail

fail() {
    printf 'build-initramfs: %s\n' "$1" >&2
    exit 1
}

[[ $# -eq 2 ]] || fail "usage: build-initramfs.sh INIT_BINARY OUTPUT"
init=$1
output=$2
[[ -f $init ]] || fail "no program at $init"
if LC_ALL=C readelf -l "$init" 2>/dev/null | grep -q INTERP; then
    fail "$init is linked dynamically: nothing in the guest could load it"
fi

# Linux, Documentation/driver-api/early-userspace/buffer-format.rst: mode bits of each type of entry.
directory=0040755
program=0100755
character_device=0020600

inode=0

pad() { # LENGTH: zeros up to the next multiple of four
    local zeros=$(((4 - $1 % 4) % 4))
    [[ $zeros -eq 0 ]] || head -c "$zeros" /dev/zero
}

entry() { # NAME MODE [SIZE [DEVICE_MAJOR DEVICE_MINOR]]
    local name=$1 mode=$2 size=${3:-0} major=${4:-0} minor=${5:-0} links=1 field
    [[ $mode != "$directory" ]] || links=2
    inode=$((inode + 1))
    printf '070701'
    for field in "$inode" "$mode" 0 0 "$links" 0 "$size" 0 0 "$major" "$minor" $((${#name} + 1)) 0; do
        printf '%08X' "$field"
    done
    printf '%s\0' "$name"
    pad $((110 + ${#name} + 1))
}

archive() {
    local size
    size=$(stat -L -c %s "$init")
    entry dev "$directory"
    # The kernel opens the console for the first program before any file system is mounted.
    entry dev/console "$character_device" 0 5 1
    entry dev/null "$character_device" 0 1 3
    entry init "$program" "$size"
    cat "$init"
    pad "$size"
    entry proc "$directory"
    entry run "$directory"
    entry sys "$directory"
    entry 'TRAILER!!!' 0
}

temporary=$(mktemp "$output.XXXXXX")
trap 'rm -f "$temporary"' EXIT
archive >"$temporary"
chmod 0644 "$temporary"
mv "$temporary" "$output"
