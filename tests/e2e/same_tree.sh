# same_tree ARCHIVE PART...: the snapshot made of the parts, concatenated and mounted by Linux, must hold the tree that
# umoci unpacks from ARCHIVE, and must pass fsck.erofs.
set -euo pipefail
archive=$1
shift
work=$(mktemp -d)
trap 'umount "$work/mounted" 2>/dev/null || true; rm -rf "$work"' EXIT

list() { # every path with its type, mode, owner, links, size, time, target and xattrs; then every file's checksum
  cd "$1"
  find . -mindepth 1 \( -type d -printf '%P %y %m %U:%G %T@\n' \) -o -printf '%P %y %m %U:%G %n %s %T@ %l\n' | LC_ALL=C sort
  find . -mindepth 1 -print0 | LC_ALL=C sort -z | xargs -0 getfattr --no-dereference --dump --match=- 2>/dev/null
  find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
}

skopeo copy --quiet "oci-archive:$archive" "oci:$work/layout:image"
umoci unpack --image "$work/layout:image" "$work/bundle" >/dev/null

for part in "$@"; do
  cat "$part" >> "$work/flat"
  truncate --size %4096 "$work/flat"
done
# This fsck's exit status does not tell of damage; its last word does.
fsck.erofs -d3 "$work/flat" 2>&1 | grep -q 'No errors found'
mkdir "$work/mounted"
[[ -e /dev/loop-control ]] || modprobe loop
mount -t erofs -o ro,loop "$work/flat" "$work/mounted"
(list "$work/bundle/rootfs") > "$work/expected"
(list "$work/mounted") > "$work/found"
diff "$work/expected" "$work/found"
