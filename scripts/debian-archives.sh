#!/usr/bin/env bash
# Prints this system's Debian archives, as apt itself understands its configuration: one line each in sources.list form.
#
#   scripts/debian-archives.sh [--backports]     with the backports of the same release
set -Eeuo pipefail

readonly keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    printf 'debian-archives: %s\n' "$1" >&2
    exit 1
}

command -v apt-get >/dev/null || fail "this system has no apt-get"
# shellcheck disable=SC1091
release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
[[ -n $release ]] || fail "/etc/os-release names no Debian release"
# The $(NAMES) are for apt to fill in.
# shellcheck disable=SC2016
archives=$(apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' | sort -u |
    awk -v release="$release" '$3 == "main" && ($2 == release || index($2, release "-") == 1)')
main=$(awk -v release="$release" '$2 == release { print $1; exit }' <<<"$archives")
[[ -n $main ]] || fail "apt on this system knows no archive of $release"
if [[ ${1:-} == --backports ]]; then archives+=$'\n'"$main $release-backports main"; fi
sort -u <<<"$archives" | awk -v keyring="$keyring" '{ print "deb [signed-by=" keyring "] " $1 " " $2 " " $3 }'
