#!/usr/bin/env bash
# Prints the path of the Linux source tarball that `version` names, fetching it first where it is missing.
#
# The tarball is inside Debian's package linux-source-SERIES. It is downloaded with apt under a private configuration
# (the system's own Debian sources plus backports), so that no root is needed and the system's lists stay as they are.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=${MOTE_CACHE:-$HOME/.cache/mote}/kernel/source
wanted=$(<"$here/version")
series=$(cut -d. -f1,2 <<<"$wanted")
package=linux-source-$series
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

say() { printf 'guest-kernel: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

# The tarball's own name carries the version that was really fetched; this link says which one answers for `version`.
link=$sources/for-$wanted
if [[ -f $link ]]; then
  readlink -f "$link"
  exit 0
fi

mkdir -p "$sources"
work=$(mktemp -d "$sources/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The system's Debian archives, as apt itself understands its configuration, and the backports of the same suite.
write_sources() {
  local suite archive
  # shellcheck disable=SC1091
  suite=$(. /etc/os-release && echo "${VERSION_CODENAME:?}")
  # shellcheck disable=SC2016 # apt's own $(...)
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
    awk -v suite="$suite" 'index($2, suite) == 1' >"$work/archives"
  archive=$(awk -v suite="$suite" '$2 == suite { print $1; exit }' "$work/archives")
  [[ -n $archive ]] || fail "apt knows no archive of $suite to fetch $package from; set KERNEL_SRC to a tree or tarball"
  echo "$archive $suite-backports main" >>"$work/archives"
  awk -v key="$keyring" '{ print "deb [signed-by=" key "] " $1 " " $2 " " $3 }' "$work/archives" | sort -u
}

private_apt() {
  local tool=$1
  shift
  "$tool" -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User="$(id -un)" \
    -o Acquire::Languages=none "$@"
}

mkdir -p "$work"/{lists,cache/archives}/partial
write_sources >"$work/sources.list"
private_apt apt-get update >&2 || fail "cannot read the package lists; set KERNEL_SRC to a tree or tarball to work offline"

version=$wanted
if ! private_apt apt-cache madison "$package" | awk -F' *[|] *' '{ print $2 }' | grep -qxF "$wanted"; then
  version=$(private_apt apt-cache madison "$package" | awk -F' *[|] *' '{ print $2 }' | sort -V | tail -1)
  [[ -n $version ]] || fail "no package $package in the archives; set KERNEL_SRC to a tree or tarball"
  say "$package $wanted is no longer served; using $version"
fi

say "fetching $package $version"
(cd "$work" && private_apt apt-get download "$package=$version" >&2) || fail "cannot download $package $version"
dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -xO "./usr/src/$package.tar.xz" >"$work/tarball"
mv "$work/tarball" "$sources/linux-$version.tar.xz"
ln -sfn "linux-$version.tar.xz" "$link"
readlink -f "$link"
