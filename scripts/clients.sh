#!/usr/bin/env bash
# Prints the path of a Python environment that has the clients of Amazon ECS which the tests run; makes it where it is missing.
#
# Nothing is installed into the system: the environment is a directory in the user's cache, made once per list of packages, by pip from the index
# that pip is set up for.
set -Eeuo pipefail
trap 'printf "clients: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
list=$here/packages/clients.txt
version=$(sha256sum "$list" | cut -c 1-12)
caches=${MOTE_CACHE:-$HOME/.cache/mote}/clients
environment=$caches/$version

if [[ ! -e $environment/complete ]]; then
    mkdir -p "$caches"
    # Another test may be about to make the same.
    exec 9>"$caches/lock"
    flock 9
    if [[ ! -e $environment/complete ]]; then
        rm -rf "$environment"
        python3 -m venv "$environment" >&2
        "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$list" >&2
        touch "$environment/complete"
    fi
fi
printf '%s\n' "$environment"
