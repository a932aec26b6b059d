//! Layers, merged and written: what stands in the flat image must be what the merge made, as an independent reader finds it.

use std::collections::BTreeMap;
use std::io::Cursor;

use image::erofs::{self, packed_head};
use image::index::{Index, ReadAt, Writer};
use image::layer::{BLOCK_BYTES, Content, Entry, Inode, SLOT_BYTES, Xattr};
use image::limits::Limits;
use image::merge::merge;
use image::tree::{Inodes, NodeId, Tree};

use crate::erofs_reader::{self, Found, FoundBody};

/// A layer: its index, and its data file as long as the index says.
pub type Layer<'a> = (&'a Index, &'a [u8]);

/// What `stat` tells of a file, and its contents.
type File = ((u16, u32, u32), (i64, u32), BTreeMap<Vec<u8>, Vec<u8>>, FoundBody);

/// Merges `layers`, the lowest first, and writes the result. Either may refuse; what is written must be right.
///
/// # Panics
/// If it is not.
pub fn check(layers: &[Layer]) {
    let indexes: Vec<&Index> = layers.iter().map(|(index, _)| *index).collect();
    let Ok(tree) = merge(&indexes) else { return };
    let mut metadata = Cursor::new(Vec::new());
    let owned: Vec<Vec<u8>> = layers.iter().map(|(_, data)| data.to_vec()).collect();
    let data: Vec<&dyn ReadAt> = owned.iter().map(|data| data as &dyn ReadAt).collect();
    let Ok(metadata_blocks) = erofs::write(&tree, &indexes, &data, &mut metadata) else {
        return;
    };
    let mut image = metadata.into_inner();
    assert_eq!(image.len() as u64, metadata_blocks * BLOCK_BYTES);
    for (_, data) in layers {
        image.extend_from_slice(data);
    }
    let found = erofs_reader::read(&image)
        .into_iter()
        .map(|(path, found)| (path, of_image(found)));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), of_tree(&tree, layers));
}

/// An index of `entries`, written and read back.
///
/// # Panics
/// If it is not what was written.
#[must_use]
pub fn index(entries: &[Entry], data_blocks: u64, limits: &Limits) -> Index {
    let mut writer = Writer::new(Vec::new());
    for entry in entries {
        writer.push(entry.clone()).expect("memory");
    }
    let bytes = writer.finish(data_blocks).expect("memory");
    let len_bytes = bytes.len() as u64;
    let index = Index::open(Box::new(bytes), len_bytes, limits).expect("as written");
    let read: Vec<Entry> = index.entries().map(|entry| entry.expect("as checked").0).collect();
    assert_eq!(read, entries);
    index
}

fn of_image(found: Found) -> File {
    let owned_mode = (found.mode, found.uid, found.gid);
    (owned_mode, found.mtime, found.xattrs, found.body)
}

/// Every path of the tree, with what is there.
fn of_tree(tree: &Tree, layers: &[Layer]) -> BTreeMap<Vec<u8>, File> {
    let indexes: Vec<&Index> = layers.iter().map(|(index, _)| *index).collect();
    let mut inodes = Inodes::new(&indexes);
    let mut files = BTreeMap::new();
    let mut pending = vec![(Vec::new(), NodeId::ROOT)];
    while let Some((path, id)) = pending.pop() {
        for (name, child) in tree.children(id).into_iter().flatten() {
            let slash: &[u8] = if path.is_empty() { b"" } else { b"/" };
            pending.push(([&path, slash, &**name].concat(), *child));
        }
        let node = tree.node(id);
        let inode = inodes.get(node).expect("as merged");
        let data = node.origin().layer().map_or(&[][..], |layer| layers[layer].1);
        files.insert(path, of_inode(&inode, data));
    }
    files
}

fn of_inode(inode: &Inode, data: &[u8]) -> File {
    // Numbers as in Linux's `mknod`: the minor one's lower byte stands below the major one.
    let device = |major: u32, minor: u32| FoundBody::Device(minor & 0xff | major << 8 | (minor & !0xff) << 12);
    let (file_type, body) = match &inode.content {
        Content::Directory => (0o04, FoundBody::Directory),
        Content::File(extent) => {
            let at = |byte: u64| usize::try_from(byte).unwrap_or(usize::MAX);
            let contents = &data[at(extent.block * BLOCK_BYTES)..][..at(extent.bytes)];
            (0o10, FoundBody::File(contents.to_vec()))
        }
        Content::Packed(packed) => {
            let xattr_bytes = packed_head(&inode.attributes, packed.bytes).len() as u64;
            let start = usize::try_from(packed.slot * SLOT_BYTES + xattr_bytes).unwrap_or(usize::MAX);
            let bytes = usize::try_from(packed.bytes).unwrap_or(usize::MAX);
            (0o10, FoundBody::File(data[start..][..bytes].to_vec()))
        }
        Content::Symlink { target } => (0o12, FoundBody::Symlink(target.to_vec())),
        Content::CharacterDevice { major, minor } => (0o02, device(*major, *minor)),
        Content::BlockDevice { major, minor } => (0o06, device(*major, *minor)),
        Content::Fifo => (0o01, FoundBody::Fifo),
    };
    let attributes = &inode.attributes;
    (
        (file_type << 12 | attributes.mode, attributes.uid, attributes.gid),
        (attributes.mtime.seconds, attributes.mtime.nanoseconds),
        attributes.xattrs.iter().filter(is_kept).map(pair).collect(),
        body,
    )
}

/// Linux takes no others on a disk file system.
fn is_kept(xattr: &&Xattr) -> bool {
    let name = &*xattr.name;
    let has_rest = |prefix: &&[u8]| name.starts_with(prefix) && name.len() > prefix.len();
    [&b"user."[..], b"trusted.", b"security."].iter().any(has_rest)
        || name == b"system.posix_acl_access"
        || name == b"system.posix_acl_default"
}

fn pair(xattr: &Xattr) -> (Vec<u8>, Vec<u8>) {
    (xattr.name.to_vec(), xattr.value.to_vec())
}
