#!/usr/bin/env python3
"""Packs tar files as an OCI image archive, reproducibly.

    pack.py OUTPUT --name REFERENCE --config JSON (--layer TAR | --onto BASE FULL)...

Layers are given lowest first: a tar file as it is, or the difference that turns the tree of tar BASE into that of
tar FULL: what is new or different, and whiteouts for what is gone. JSON is the image's `config`
object (Cmd, Env, ...). The same input gives the same bytes: no clock, no owner names, no file order of its own.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import tarfile
import tempfile

CREATED = "1970-01-01T00:00:00Z"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"

# Directories whose content is the container runtime's: a build leaves things there that no image carries.
RUNTIME_DIRECTORIES = ("dev", "proc", "sys")


def entry_path(member):
    """The member's path without leading `./` or `/`; empty for the root."""
    return os.path.normpath(member.name.lstrip("/")).removeprefix(".").lstrip("/")


class Tree:
    """The entries of one tar file by path."""

    def __init__(self, path):
        self.tar = tarfile.open(path)
        self.members = {}
        for member in self.tar:
            path = entry_path(member)
            if path and path.split("/")[0] in RUNTIME_DIRECTORIES and "/" in path:
                continue
            self.members[path] = member

    def content(self, member):
        return self.tar.extractfile(member).read() if member.isreg() else b""

    def fingerprint(self, member):
        """Equal for two entries exactly when a layer need not mention the later one."""
        attributes = sorted((k, v) for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr."))
        link = entry_path_of_link(member)
        device = (member.devmajor, member.devminor) if member.isdev() else ()
        time = 0 if member.isdir() else int(member.mtime)
        content = hashlib.sha256(self.content(member)).digest()
        return (member.type, member.mode, member.uid, member.gid, time, link, device, attributes, content)


def entry_path_of_link(member):
    """Hard links name an entry of the archive, symbolic links whatever they like."""
    return os.path.normpath(member.linkname.lstrip("/")) if member.islnk() else member.linkname


def with_parents(paths):
    """`paths` and every directory above them, the root excepted."""
    found = set()
    for path in paths:
        while path:
            found.add(path)
            path = os.path.dirname(path)
    return found


def difference(base, full):
    """Paths of `full` that differ from `base`, and paths of `base` that are gone (topmost only)."""
    changed = {
        path
        for path, member in full.members.items()
        if path and (path not in base.members or base.fingerprint(base.members[path]) != full.fingerprint(member))
    }
    # All names of one file stay together: a hard link to a file of a lower layer would be a copy for some readers.
    groups = {}
    for path, member in full.members.items():
        if member.islnk():
            groups.setdefault(entry_path_of_link(member), set()).add(path)
    for target, links in groups.items():
        names = links | {target}
        if names & changed:
            changed |= names
    gone = {path for path in base.members if path and path not in full.members}
    topmost = {path for path in gone if os.path.dirname(path) not in gone}
    return with_parents(changed), topmost


def clean(member, path):
    """The entry as a layer carries it."""
    copy = tarfile.TarInfo(path + "/" if member.isdir() else path)
    for field in ("type", "mode", "uid", "gid", "size", "devmajor", "devminor"):
        setattr(copy, field, getattr(member, field))
    copy.mtime = int(member.mtime)
    copy.linkname = entry_path_of_link(member)
    copy.pax_headers = {k: v for k, v in member.pax_headers.items() if k.startswith("SCHILY.xattr.")}
    return copy


def write_layer(tree, paths, whiteouts, output):
    """Writes the entries at `paths` in order of their names, after the whiteouts of the same layer."""
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as layer:
        for path in sorted(whiteouts):
            directory, name = os.path.split(path)
            layer.addfile(tarfile.TarInfo(os.path.join(directory, ".wh." + name)))
        # A hard link must come after its target, whatever their names.
        for path in sorted(paths, key=lambda path: (tree.members[path].islnk(), path)):
            member = tree.members[path]
            layer.addfile(clean(member, path), io.BytesIO(tree.content(member)) if member.isreg() else None)


class Archive:
    """An OCI image layout inside a tar file."""

    def __init__(self, output):
        self.tar = tarfile.open(fileobj=output, mode="w", format=tarfile.USTAR_FORMAT)
        self.add("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self.digests = set()

    def add(self, name, content):
        member = tarfile.TarInfo(name)
        member.size = len(content)
        member.mode = 0o644
        self.tar.addfile(member, io.BytesIO(content))

    def blob(self, content, media_type):
        """Stores `content` once; returns its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self.digests:
            self.add("blobs/sha256/" + digest, content)
            self.digests.add(digest)
        return {"mediaType": media_type, "digest": "sha256:" + digest, "size": len(content)}

    def document(self, value, media_type):
        return self.blob(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), media_type)


def layer_bytes(layer):
    """The uncompressed tar of one layer, given as (base, full) or (None, tar)."""
    base, full = layer
    tree = Tree(full)
    paths, whiteouts = difference(Tree(base), tree) if base else ({path for path in tree.members if path}, set())
    output = io.BytesIO()
    write_layer(tree, paths, whiteouts, output)
    return output.getvalue()


def pack(output, name, config, layers):
    archive = Archive(output)
    diff_ids, descriptors = [], []
    for layer in layers:
        plain = layer_bytes(layer)
        diff_ids.append("sha256:" + hashlib.sha256(plain).hexdigest())
        descriptors.append(archive.blob(gzip.compress(plain, 6, mtime=0), LAYER_TYPE))
    image = {
        "created": CREATED,
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created": CREATED, "created_by": "rootfs/images"} for _ in layers],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": archive.document(image, CONFIG_TYPE),
        "layers": descriptors,
    }
    described = archive.document(manifest, MANIFEST_TYPE)
    described["annotations"] = {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name}
    index = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [described]}
    archive.add("index.json", json.dumps(index, sort_keys=True).encode())
    archive.tar.close()


class AppendLayer(argparse.Action):
    """Layers of both kinds go to one list, in the order in which they are given."""

    def __call__(self, parser, namespace, values, option_string=None):
        pair = tuple(values) if option_string == "--onto" else (None, values)
        namespace.layers = [*(namespace.layers or []), pair]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("--name", required=True)
    parser.add_argument("--config", required=True, type=json.loads)
    parser.add_argument("--layer", action=AppendLayer, dest="layers", metavar="TAR")
    parser.add_argument("--onto", action=AppendLayer, dest="layers", nargs=2, metavar=("BASE", "FULL"))
    arguments = parser.parse_args()
    if not arguments.layers:
        parser.error("an image needs a layer")
    directory = os.path.dirname(os.path.abspath(arguments.output))
    with tempfile.NamedTemporaryFile(dir=directory, delete=False) as temporary:
        pack(temporary, arguments.name, arguments.config, arguments.layers)
    os.chmod(temporary.name, 0o644)
    os.replace(temporary.name, arguments.output)


if __name__ == "__main__":
    main()
