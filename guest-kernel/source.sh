#!/usr/bin/env bash
# Prints the path of the Linux source tarball that `version` names, fetching it first where it is missing.
#
# The tarball is inside Debian's package linux-source-SERIES. It is downloaded with apt under a private configuration
# (the system's own Debian archives and their backports), so that no root is needed and the system's lists stay as
# they are.
set -Eeuo pipefail
trap 'printf "guest-kernel: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=${MOTE_CACHE:-$HOME/.cache/mote}/kernel/source
wanted=$(<"$here/version")
package=linux-source-$(cut -d. -f1,2 <<<"$wanted")
readonly offline="set KERNEL_SRC to a kernel tree or tarball to do without"

say() {
    printf 'guest-kernel: %s\n' "$1" >&2
}

fail() {
    say "$1"
    exit 1
}

# The tarball's own name carries the version that was really fetched; this link says which one answers for `version`.
link=$sources/for-$wanted
if [[ -f $link ]]; then
    readlink -f "$link"
    exit 0
fi

mkdir -p "$sources"
work=$(mktemp -d "$sources/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

private_apt() {
    local program=$1
    shift
    "$program" -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" \
        -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

# The versions of the package that the archives serve, oldest first.
served_versions() {
    private_apt apt-cache madison "$package" | awk -F' *[|] *' '{ print $2 }' | sort -Vu
}

mkdir -p "$work"/{lists,cache/archives}/partial
"$here/../scripts/debian-archives.sh" --backports >"$work/sources.list" || fail "no archive to fetch $package from; $offline"
private_apt apt-get update >&2 || fail "cannot read the package lists; $offline"

version=$wanted
if ! served_versions | grep -qxF "$wanted"; then
    version=$(served_versions | tail -n 1)
    [[ -n $version ]] || fail "the archives have no package $package; $offline"
    say "$package $wanted is no longer served: taking $version"
fi

say "fetching $package $version"
(cd "$work" && private_apt apt-get download "$package=$version" >&2) || fail "cannot download $package $version; $offline"
dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -xO "./usr/src/$package.tar.xz" >"$work/tarball"
mv "$work/tarball" "$sources/linux-$version.tar.xz"
ln -sfn "linux-$version.tar.xz" "$link"
readlink -f "$link"
