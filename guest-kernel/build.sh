#!/usr/bin/env bash
# Builds the guest kernel once per (source, configuration, compiler, recipe) and prints the path of its vmlinux.
#
# The result is an uncompressed ELF with a PVH note in $MOTE_CACHE/kernel/KEY/vmlinux, beside `config`, `System.map` and
# `build.log`; $MOTE_CACHE/kernel/current points at KEY. A second call finds it there and does nothing.
#
#   MOTE_CACHE   where results are kept (default ~/.cache/mote)
#   KERNEL_SRC   a kernel tree or a tarball of one, instead of the version that `version` names
#   JOBS         parallel compilers (default: all processors)
set -Eeuo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
fragment=$here/config.fragment
cache=${MOTE_CACHE:-$HOME/.cache/mote}/kernel
recipe=3 # counts the changes of this script that change its result

say() {
    printf 'guest-kernel: %s\n' "$1" >&2
}

fail() {
    say "$1"
    exit 1
}

# The log outlives the temporary directory when it is needed.
fail_with_log() {
    tail -n 20 "$log" >&2
    cp "$log" "$cache/failed.log"
    fail "$1; the whole log: $cache/failed.log"
}

check_tools() {
    local tool missing=()
    for tool in gcc ld make flex bison bc xz flock; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    [[ ${#missing[@]} -gt 0 ]] || echo '#include <gelf.h>' | gcc -E - >/dev/null 2>&1 || missing+=(libelf)
    [[ ${#missing[@]} -eq 0 ]] || fail "missing ${missing[*]}: install the packages in scripts/packages/kernel.txt"
}

# What the source is: its version if it is the packaged one, else what it consists of.
source_identity() {
    if [[ -z ${KERNEL_SRC:-} ]]; then
        basename "$1" .tar.xz
    elif [[ -d $1 ]]; then
        find "$1" -type f -printf '%P %s %T@\n' | sort | sha256sum | cut -d' ' -f1
    else
        sha256sum "$1" | cut -d' ' -f1
    fi
}

# The lines that say something: comments may change without a new kernel.
effective_fragment() {
    grep -E '^(CONFIG_[A-Z0-9_]+=|# CONFIG_[A-Z0-9_]+ is not set$)' "$fragment"
}

# Unpacks what an x86 kernel without such drivers is built from; the Kconfig files of everything must stay.
unpack() {
    say "unpacking $(basename "$1")"
    local pattern excludes=()
    for pattern in {drivers/{gpu/drm,net/ethernet,net/wireless,media,scsi,staging,infiniband},sound}/'*.[ch]' \
        arch/{arm,arm64,mips,powerpc}/'*.'{'[chS]',dts,dtsi} {tools/perf,tools/testing}/'*' Documentation/'[!K]*'; do
        excludes+=(--exclude="*/$pattern")
    done
    mkdir "$2"
    tar -xf "$1" -C "$2" --strip-components=1 "${excludes[@]}"
}

kernel_make() {
    make -C "$tree" O="$build" "$@"
}

configure() {
    KCONFIG_ALLCONFIG=$fragment kernel_make allnoconfig >>"$log" 2>&1 || fail_with_log "cannot configure"
    local lost
    lost=$(effective_fragment | while IFS= read -r line; do
        case $line in
            '#'*) option=${line#\# }; grep -q "^${option%% *}=" "$build/.config" && echo "  $line" ;;
            *) grep -qxF -- "$line" "$build/.config" || echo "  $line" ;;
        esac
    done || true)
    [[ -z $lost ]] || fail "these lines of config.fragment do not survive (unknown, or a dependency is off):"$'\n'"$lost"
}

# The code of system call and interrupt entries begins a 2 MiB page of its own, for page table isolation. It may as well
# share the page before it, which is mapped into user mode then: the code is no secret. The image is 2 MiB smaller.
join_entry_code() {
    local script=arch/x86/kernel/vmlinux.lds
    kernel_make -s "$script" >>"$log" 2>&1 || fail_with_log "cannot make the linker script"
    sed -i '/__static_call_text_end/{n;/^ *\. = ALIGN((1 << 21));$/d}' "$build/$script"
    [[ $(grep -B 3 __entry_text_start "$build/$script") != *'<< 21'* ]] ||
        fail "the linker script is not as it was: join_entry_code finds no alignment to remove"
}

# Read-only data shares its last 2 MiB page with whatever the kernel puts into the rest of it, which it gives to its allocator. Without
# writes beside it, a clone reads all of it through one mapping of the template's.
round_read_only_data() {
    local script=$build/arch/x86/kernel/vmlinux.lds
    sed -i 's/\. = ALIGN(((1 << 12))); __end_rodata = \.;/. = ALIGN((1 << 21)); __end_rodata = .;/' "$script"
    grep -q 'ALIGN((1 << 21)); __end_rodata = ' "$script" ||
        fail "the linker script is not as it was: round_read_only_data finds no end of the read-only data"
}

compile() {
    say "compiling (log: $log)"
    local TIMEFORMAT='compiled in %R s (%U s user, %S s system)'
    if ! { time kernel_make -s -j"${JOBS:-$(nproc)}" vmlinux >>"$log" 2>&1; } 2>"$work/time"; then
        fail_with_log "cannot compile"
    fi
    tee -a "$log" <"$work/time" >&2
}

collect() {
    local result=$work/result
    mkdir "$result"
    strip -o "$result/vmlinux" "$build/vmlinux"
    readelf -n "$result/vmlinux" 2>/dev/null | grep -q 'Xen' || fail "the kernel has no PVH note"
    cp "$build/.config" "$result/config"
    cp "$build/System.map" "$result/System.map"
    cp "$log" "$result/build.log"
    rm -rf "${cache:?}/$key"
    mv "$result" "$cache/$key"
}

publish() {
    ln -sfn "$key" "$cache/current.$$"
    mv -T "$cache/current.$$" "$cache/current"
    echo "$cache/$key/vmlinux"
}

[[ $(uname -m) == x86_64 ]] || fail "only x86-64 guests so far, and no cross compiler"
check_tools
mkdir -p "$cache"
source=${KERNEL_SRC:-$("$here/source.sh")}
[[ -e $source ]] || fail "no kernel source at $source"
key=$({ source_identity "$source"; effective_fragment; gcc --version | head -1; ld --version | head -1; echo "$recipe"; } |
    sha256sum | cut -d' ' -f1)

# One build at a time: whoever waited finds the result.
exec 9>"$cache/lock"
flock 9
if [[ -f $cache/$key/vmlinux ]]; then
    publish
    exit 0
fi

# Fixed, so that the same key gives the same bytes.
export KBUILD_BUILD_TIMESTAMP='Thu Jan  1 00:00:00 UTC 1970' KBUILD_BUILD_VERSION=1
export KBUILD_BUILD_USER=mote KBUILD_BUILD_HOST=mote LC_ALL=C
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
tree=$source build=$work/build log=$work/build.log
mkdir "$build"
if [[ ! -d $source ]]; then
    tree=$work/tree
    unpack "$source" "$tree"
fi
configure
join_entry_code
round_read_only_data
compile
collect
publish
