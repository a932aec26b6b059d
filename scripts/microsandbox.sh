#!/usr/bin/env bash
# Unpacks microsandbox, a peer that benchmarks compare mote with, from its Python package, and prints the directory with bin/msb and lib/.
#
# Nothing of it is installed. The package is fetched once, by pip from the index that pip is set up for.
set -Eeuo pipefail
trap 'printf "microsandbox: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

readonly version=0.7.11
directory=${MOTE_CACHE:-$HOME/.cache/mote}/microsandbox-$version

if [[ ! -d $directory ]]; then
    mkdir -p "${directory%/*}"
    work=$(mktemp -d "$directory.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$work" "microsandbox==$version" >&2
    python3 -m zipfile -e "$work"/*.whl "$work/package"
    chmod 755 "$work/package/microsandbox/_bundled/bin/msb"
    mv -T "$work/package/microsandbox/_bundled" "$directory"
fi
printf '%s\n' "$directory"
