# shellcheck shell=bash disable=SC2154 # the recipe sets `packages` and `config`
# What the image recipes beside this file have in common; each of them ends by sourcing it.
#
# A recipe says which packages its image is made of (`packages`), what starts in it (`config`), and how its layers come
# about (`layers`, which prints arguments of pack.py). Made here, the image's OCI archive is kept as
# $MOTE_CACHE/images/NAME-KEY.oci.tar, and its path printed. KEY covers the recipe and the versions of its packages and of
# what they depend on, so a second call does nothing else.
set -Eeuo pipefail
trap 'printf "images: line %s failed: %s\n" "$LINENO" "$BASH_COMMAND" >&2' ERR

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
name=$(basename "$0" .sh)
cache=${MOTE_CACHE:-$HOME/.cache/mote}/images
# All times in an image are this one, so that the same packages give the same bytes.
export SOURCE_DATE_EPOCH=1700000000 LC_ALL=C

fail() {
    printf 'images: %s\n' "$1" >&2
    exit 1
}

# The versions that apt would install of the packages in the arguments and of all that they depend on.
versions() {
    local -a closure
    mapfile -t closure < <(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks \
        --no-replaces --no-enhances "$@" | grep -E '^[a-z0-9]' | sort -u)
    ((${#closure[@]} >= $#)) || return 1
    # It fails for virtual packages, which have no version.
    { apt-cache show --no-all-versions "${closure[@]}" 2>/dev/null || true; } | grep -E '^(Package|Version): '
}

# A Debian file tree with the packages in $2..., as tar file $1, without documentation as in Debian's own small images.
debian_tree() {
    local output=$1
    shift
    "$here/../../scripts/debian-archives.sh" >"$work/sources.list"
    # Nothing is lost when a tree that is being made goes with a power cut: no need to sync each file.
    # shellcheck disable=SC1091
    mmdebstrap --quiet --variant=minbase --format=tar --include="$(IFS=,; printf '%s' "$*")" \
        --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
        "$(. /etc/os-release && printf '%s' "$VERSION_CODENAME")" "$output" - <"$work/sources.list" >&2
}

# The tree that Debian-based images share as their lowest layer.
debian_base() {
    local base
    base=$({ versions apt base-files bash ca-certificates coreutils && cat "$here/recipe.sh"; } | sha256sum | cut -c-16)
    base=$cache/debian-$base.tar
    if [[ ! -f $base ]]; then
        debian_tree "$work/debian.tar" ca-certificates
        mv "$work/debian.tar" "$base"
    fi
    printf '%s\n' "$base"
}

# Adds $2, the directory or a path inside it if $3 is given, to tar file $1; all of it owned by user and group $4, or root.
add_tree() {
    tar -C "$2" --sort=name --owner="${4:-0}" --group="${4:-0}" --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
        -rf "$1" "./${3:-}"
}

mkdir -p "$cache"
known=$(versions "${packages[@]}") || fail "apt knows not all of these packages: ${packages[*]} (apt-get update?)"
key=$({ printf '%s\n' "$known" && cat "$here/recipe.sh" "$here/$name.sh" "$here/pack.py"; } | sha256sum | cut -c-16)
image=$cache/$name-$key.oci.tar

exec 9>"$cache/lock"
flock 9
if [[ ! -f $image ]]; then
    work=$(mktemp -d "$cache/$name.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    printf 'images: making %s\n' "$name" >&2
    arguments=$(layers)
    mapfile -t arguments <<<"$arguments"
    "$here/pack.py" "$work/image" --name "docker.io/library/$name:latest" --config "$config" "${arguments[@]}"
    mv "$work/image" "$image"
fi
printf '%s\n' "$image"
