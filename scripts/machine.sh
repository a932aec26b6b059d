#!/usr/bin/env bash
# Prepares the parts of the machine, a QEMU VM that plays the host where hardware virtualization is missing, and prints the directory that holds them.
#
#   scripts/machine.sh PATH-OF-mote-machine-init
#
# The parts: QEMU (version 9 or newer), virtiofsd, Debian's 6.12 cloud kernel with its modules, and an initramfs with our init.
# All of it is unpacked from Debian packages into ${MOTE_CACHE:-~/.cache/mote}/machine; nothing is installed.
# The directory is named after what is in it and appears complete or not at all, so a second call only prints it.
set -Eeuo pipefail
trap 'printf "machine: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

# To be raised when this script lays the parts out in another way.
readonly recipe=1
# Modules that the init loads, in this order, each after what it depends on.
readonly boot_modules=(overlay virtio_net irqbypass kvm kvm-amd kvm-intel tun virtio_blk)
# Modules without use in a machine, to keep the cache small.
readonly unused_modules=(drivers/{gpu,hid,hv,infiniband,input,media,net/ethernet,net/hyperv,nvme,platform,scsi,usb,xen} fs/{btrfs,ceph,nfs,nfsd,ocfs2,smb,xfs})

cache=${MOTE_CACHE:-$HOME/.cache/mote}/machine
work=

fail() {
    printf 'machine: %s\n' "$1" >&2
    exit 1
}

clean_up() {
    if [[ -n $work ]]; then rm -rf "$work"; fi
}
trap clean_up EXIT

# The directory for the init in $1 with the base parts that are there: empty when there are none.
parts_directory() {
    local base hash
    base=$(readlink "$cache/base-$recipe") || return 0
    hash=$({ printf '%s\n' "$base" && cat "$1"; } | sha256sum)
    printf '%s/%s\n' "$cache" "${hash:0:16}"
}

# --- base parts: QEMU, kernel, modules ---

# apt with package lists of our own, which add backports to the system's sources: the system's lists stay as they are.
private_apt() {
    local program=$1
    shift
    "$program" -qq -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/apt/sources" -o "Dir::State::Lists=$work/apt/lists" \
        -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

prepare_private_apt() {
    mkdir -p "$work"/apt/{sources,lists/partial,cache/archives/partial}
    local uri release
    # The $(NAMES) are for apt to fill in.
    # shellcheck disable=SC2016
    while read -r uri release; do
        case $release in
            bookworm) debian_repository "$uri" bookworm bookworm-backports ;;
            bookworm-* | trixie*) debian_repository "$uri" "$release" ;;
        esac
    done < <(apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sort -u) >"$work/apt/sources/mote.sources"
    [[ -s $work/apt/sources/mote.sources ]] || fail "the machine is made of Debian packages, and apt on this system knows no Debian 12 or 13 repository"
    private_apt apt-get update >&2 || fail "cannot read the package lists (apt-get update)"
}

debian_repository() {
    printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n' "$1" "${*:2}"
}

# The system's own QEMU where it is new enough: QEMU 7.2 emulates nested virtualization wrongly (it ignores the intercept of XSETBV).
system_qemu() {
    local program version
    program=$(command -v qemu-system-x86_64) || return 1
    version=$("$program" --version | sed -n -E '1s/.*version ([0-9]+)\..*/\1/p')
    ((${version:-0} >= 9)) || return 1
    printf '%s\n' "$program"
}

download() {
    (cd "$work/packages" && private_apt apt-get download "$1" >&2) || fail "cannot download the package $1"
}

take_qemu() {
    local base=$1 program file
    if program=$(system_qemu); then
        ln -s "$program" "$base/qemu"
        firmware=(/usr/share/qemu /usr/share/seabios)
    else
        download qemu-system-x86/bookworm-backports
        download qemu-system-data/bookworm-backports
        for file in "$work"/packages/qemu-*.deb; do dpkg --extract "$file" "$work/qemu"; done
        mv "$work/qemu/usr/bin/qemu-system-x86_64" "$base/qemu"
        firmware=("$work/qemu/usr/share/qemu" /usr/share/seabios)
    fi
    mkdir "$base/firmware"
    for file in bios-256k.bin kvmvapic.bin linuxboot_dma.bin pvh.bin; do
        local directory
        for directory in "${firmware[@]}"; do
            if [[ -f $directory/$file ]]; then cp "$directory/$file" "$base/firmware/" && continue 2; fi
        done
        fail "QEMU's firmware $file is missing: run scripts/setup.sh machine"
    done
    [[ -x /usr/lib/qemu/virtiofsd ]] || fail "/usr/lib/qemu/virtiofsd is missing: run scripts/setup.sh machine"
    ln -s /usr/lib/qemu/virtiofsd "$base/virtiofsd"
    "$base/qemu" --version >/dev/null || fail "$base/qemu does not run on this system: run scripts/setup.sh machine"
}

# The uncompressed kernel in the bzImage $1: its PVH entry skips the real-mode stub and the decompression, which are slow when emulated.
extract_vmlinux() {
    local setup_sectors offset length
    # The fields of the Linux/x86 boot protocol: setup_sects, payload_offset, payload_length.
    setup_sectors=$(od -An -tu1 -j $((0x1f1)) -N1 "$1")
    offset=$(od -An -tu4 -j $((0x248)) -N4 "$1")
    length=$(od -An -tu4 -j $((0x24c)) -N4 "$1")
    # The payload ends with its uncompressed size in four bytes, which are not part of the compressed stream.
    dd if="$1" of="$work/payload" bs=1M iflag=skip_bytes,count_bytes status=none \
        skip=$(((setup_sectors + 1) * 512 + offset)) count=$((length - 4))
    case $(od -An -tx1 -N4 "$work/payload" | tr -d ' \n') in
        fd377a58) xz -dc <"$work/payload" ;;
        28b52ffd) zstd -dcq <"$work/payload" ;;
        1f8b*) gzip -dc <"$work/payload" ;;
        *) fail "the kernel $1 is compressed in a way this script does not know" ;;
    esac
}

take_kernel() {
    local base=$1 package version unused
    package=$(private_apt apt-cache pkgnames linux-image-6.12. | grep -E '^linux-image-6\.12\.[0-9]+\+deb1[23]-cloud-amd64$' | sort -V | tail -1) ||
        fail "there is no 6.12 cloud kernel in the package lists"
    version=${package#linux-image-}
    download "$package"
    dpkg --extract "$work/packages/$package"_*.deb "$work/kernel"
    extract_vmlinux "$work/kernel/boot/vmlinuz-$version" >"$base/vmlinux"
    [[ $(head -c4 "$base/vmlinux") == $'\x7fELF' ]] || fail "the kernel of $package did not unpack to an ELF file"
    mkdir -p "$base/modules/lib/modules"
    mv "$work/kernel/lib/modules/$version" "$base/modules/lib/modules/"
    for unused in "${unused_modules[@]}"; do rm -rf "$base/modules/lib/modules/$version/kernel/$unused"; done
    # Plain modules load faster than compressed ones; without signature and BTF the machine boots half a second sooner.
    find "$base/modules" -name '*.ko.xz' -print0 | xargs -0 -r -P "$(nproc)" -n 32 xz -d
    find "$base/modules" -name '*.ko' -print0 | xargs -0 -r -P "$(nproc)" -n 1 objcopy --strip-debug --remove-section=.BTF
    depmod -b "$base/modules" "$version"
    printf '%s\n' "$version" >"$base/kernel-version"
}

make_base() {
    local program base firmware
    for program in apt-get apt-cache cpio depmod dpkg objcopy xz zstd; do
        command -v "$program" >/dev/null || fail "$program is missing: run scripts/setup.sh machine"
    done
    base=$work/base
    mkdir -p "$base" "$work/packages"
    printf 'machine: unpacking QEMU and a kernel into %s\n' "$cache" >&2
    prepare_private_apt
    take_qemu "$base"
    take_kernel "$base"
    { "$base/qemu" --version | head -1 && cat "$base/kernel-version"; } >"$base/versions"
    local hash
    hash=$(sha256sum <"$base/versions")
    local name=base-$recipe-${hash:0:12}
    rm -rf "${cache:?}/$name"
    mv "$base" "$cache/$name"
    ln -sfn "$name" "$cache/base-$recipe"
}

# --- parts: the base and an initramfs with the init ---

make_parts() {
    local init=$1 parts=$2 base version module file number=10
    base=$(readlink -f "$cache/base-$recipe")
    version=$(<"$base/kernel-version")
    mkdir -p "$work/parts" "$work"/initramfs/{dev,proc,sys,lower,upper,root,modules}
    objcopy --strip-all "$init" "$work/initramfs/init"
    chmod 755 "$work/initramfs/init"
    # In the initramfs there is nothing that it could be linked to.
    if readelf --program-headers "$init" | grep -q INTERP; then fail "$init is not linked statically"; fi
    for module in "${boot_modules[@]}"; do
        while read -r file; do
            if ! compgen -G "$work/initramfs/modules/*-${file##*/}" >/dev/null; then
                cp "$file" "$work/initramfs/modules/$((number++))-${file##*/}"
            fi
        done < <(modprobe -d "$base/modules" -S "$version" --show-depends "$module" | awk '$1 == "insmod" { print $2 }')
    done
    (cd "$work/initramfs" && find . -print0 | sort -z | cpio --null --create --format=newc --owner=0:0 --quiet) >"$work/parts/initramfs"
    ln -s "../${base##*/}" "$work/parts/base"
    mv -T "$work/parts" "$parts"
    remove_old_parts
}

# Keeps the eight newest parts: while the init is being worked on, each build of it makes new ones.
remove_old_parts() {
    local old
    while read -r old; do rm -rf "${cache:?}/$old"; done < <(find "$cache" -maxdepth 1 -type d -regextype egrep -regex '.*/[0-9a-f]{16}' -printf '%T@ %f\n' | sort -rn | tail -n +9 | cut -d' ' -f2)
}

(($# == 1)) || fail "usage: machine.sh PATH-OF-mote-machine-init"
init=$1
[[ -f $init ]] || fail "there is no file $init"
parts=$(parts_directory "$init")
if [[ -z $parts || ! -d $parts ]]; then
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    work=$(mktemp -d "$cache/work.XXXXXX")
    if [[ ! -d $cache/base-$recipe ]]; then make_base; fi
    parts=$(parts_directory "$init")
    if [[ ! -d $parts ]]; then make_parts "$init" "$parts"; fi
fi
printf '%s\n' "$parts"
