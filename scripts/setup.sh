#!/usr/bin/env bash
# Installs the Debian packages that mote needs and that are missing.
#
#   scripts/setup.sh LIST...     each LIST is a file scripts/packages/LIST.txt: one package per line, # comments
#
# Does nothing, quickly, when every package is there. Services that come with a package are neither started nor enabled.
set -Eeuo pipefail
trap 'printf "setup: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly policy=/usr/sbin/policy-rc.d saved_policy=/usr/sbin/policy-rc.d.before-mote-setup

fail() {
    printf 'setup: %s\n' "$1" >&2
    exit 1
}

# Prints the packages of the lists named in the arguments.
wanted_packages() {
    local list
    for list in "$@"; do
        [[ -f $here/packages/$list.txt ]] || fail "there is no package list $list (scripts/packages/$list.txt)"
        sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$here/packages/$list.txt"
    done | sort -u
}

# Prints those of the packages in the arguments that are not installed.
missing_packages() {
    # dpkg-query fails when it does not know one of the names; what it knows, it prints all the same.
    local installed
    installed=$(dpkg-query --show --showformat='${Package} ${db:Status-Status}\n' "$@" 2>/dev/null || true)
    comm -23 <(printf '%s\n' "$@" | sort) <(awk '$2 == "installed" { print $1 }' <<<"$installed" | sort -u)
}

# While packages are installed, policy-rc.d says that no service may start. What was there before comes back.
forbid_services() {
    # A set-up that was killed may have left its own file: the one saved then is still the right one.
    if [[ ! -e $saved_policy && -e $policy ]]; then mv "$policy" "$saved_policy"; fi
    printf '#!/bin/sh\n# Written by the set-up of mote, for as long as it installs packages.\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap allow_services EXIT
}

allow_services() {
    rm -f "$policy"
    if [[ -e $saved_policy ]]; then mv "$saved_policy" "$policy"; fi
}

# A package enables its services for the next boot; the packages in the arguments are here for their programs alone.
disable_services() {
    local files units scripts script
    files=$(dpkg-query --listfiles "$@" 2>/dev/null || true)
    if command -v systemctl >/dev/null; then
        mapfile -t units < <(sed -n -E 's#^(/usr)?/lib/systemd/system/([^/@]+\.(service|socket|timer))$#\2#p' <<<"$files" | sort -u)
        if ((${#units[@]} > 0)); then systemctl disable --quiet "${units[@]}" 2>/dev/null || true; fi
    elif command -v update-rc.d >/dev/null; then
        mapfile -t scripts < <(sed -n -E 's#^/etc/init\.d/([^/]+)$#\1#p' <<<"$files" | sort -u)
        for script in "${scripts[@]}"; do update-rc.d "$script" disable 2>/dev/null || true; done
    fi
}

install_packages() {
    command -v apt-get >/dev/null || fail "this system has no apt-get: install these packages by other means: $*"
    ((EUID == 0)) || fail "root is needed to install these packages: $*"
    forbid_services
    export DEBIAN_FRONTEND=noninteractive
    printf 'setup: installing %s\n' "$*" >&2
    # Standard output stays free for the caller.
    apt-get update -qq -o Acquire::Retries=3 >&2 || fail "cannot read the package lists (apt-get update)"
    apt-get install -qq -y --no-install-recommends -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" >&2 ||
        fail "cannot install the packages: $*"
    disable_services "$@"
    allow_services
    trap - EXIT
}

(($# > 0)) || fail "name at least one package list: $(cd "$here/packages" && echo ./*.txt | sed -E 's#\./([^ ]*)\.txt#\1#g')"
mapfile -t wanted < <(wanted_packages "$@")
((${#wanted[@]} > 0)) || fail "the package lists are empty or missing: $*"
mapfile -t missing < <(missing_packages "${wanted[@]}")
if ((${#missing[@]} > 0)); then install_packages "${missing[@]}"; fi
for program in cargo rustc; do
    command -v "$program" >/dev/null || fail "$program is missing: mote needs a Rust toolchain (1.95 or newer) on the PATH"
done
