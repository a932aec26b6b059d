//! The first pass: every inode gets its place, every directory its blocks.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::format::{
    COMPACT_BYTES, EXTENDED_BYTES, InodeFields, SLOT_BYTES, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET, pack_device,
};
use super::{ErofsError, directory, xattr};
use crate::layer::BLOCK_BYTES;
use crate::tar::Timestamp;
use crate::tree::{Body, NodeId, Tree};

/// Contents that are longer than this together with their inode get blocks of their own: packing them behind the
/// inode would waste as much at the ends of blocks as it saves.
const INLINE_BYTES_MAX: u64 = BLOCK_BYTES / 2;

/// Where everything goes.
#[derive(Debug)]
pub(super) struct Layout {
    /// The inodes in the order of their places.
    pub inodes: Vec<Placed>,
    /// Place of each node's inode by [`NodeId::index`], in bytes; 0 for nodes without a path.
    offsets: Vec<u64>,
    /// The time of every inode in the short form.
    pub epoch: Timestamp,
    /// Where the inodes end and blocks of directories and links begin.
    pub inode_area_blocks: u64,
    /// Length of the whole metadata.
    pub metadata_blocks: u64,
    /// Length of the file system, layers included.
    pub total_blocks: u32,
}

/// One inode and its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub node: NodeId,
    /// The directory it was first found in: what `..` leads to.
    pub parent: NodeId,
    /// In bytes from the start of the metadata.
    pub offset: u64,
    pub fields: InodeFields,
}

impl Layout {
    /// The number under which Linux finds the node's inode.
    pub fn nid(&self, node: NodeId) -> u64 {
        self.offsets[node.index()] / SLOT_BYTES
    }
}

impl Placed {
    /// Bytes of the contents that stand behind the inode.
    pub fn inline_bytes(&self) -> u64 {
        if self.fields.is_inline {
            self.fields.size % BLOCK_BYTES
        } else {
            0
        }
    }

    /// Blocks of the contents that lie in the metadata.
    fn metadata_blocks(&self, body: &Body) -> u64 {
        match body {
            Body::Directory(_) | Body::Symlink { .. } => (self.fields.size - self.inline_bytes()).div_ceil(BLOCK_BYTES),
            _ => 0,
        }
    }
}

/// Plans the file system.
pub(super) fn plan(tree: &Tree, part_blocks: &[u64]) -> Result<Layout, ErofsError> {
    let (found, links) = walk(tree);
    let epoch = commonest_time(tree, &found);
    let mut layout = Layout {
        inodes: Vec::with_capacity(found.len()),
        offsets: vec![0; tree.nodes_len()],
        epoch,
        inode_area_blocks: 0,
        metadata_blocks: 0,
        total_blocks: 0,
    };
    let mut end = (SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES) as u64;
    for (ordinal, (node, parent)) in (1..).zip(found) {
        let placed = place(tree, node, parent, links[node.index()], ordinal, epoch, &mut end)?;
        layout.offsets[node.index()] = placed.offset;
        layout.inodes.push(placed);
    }
    layout.inode_area_blocks = end.div_ceil(BLOCK_BYTES);
    locate_contents(tree, &mut layout, part_blocks)?;
    Ok(layout)
}

/// All nodes that have a path, in an order that keeps the files of a directory together, and the number of names of
/// each by [`NodeId::index`].
fn walk(tree: &Tree) -> (Vec<(NodeId, NodeId)>, Vec<u32>) {
    let mut links = vec![0_u32; tree.nodes_len()];
    let mut found = vec![(NodeId::ROOT, NodeId::ROOT)];
    // Its own `.` and the name that the root has as its own parent.
    links[NodeId::ROOT.index()] = 2;
    let mut pending = vec![NodeId::ROOT];
    while let Some(directory) = pending.pop() {
        let first_new = pending.len();
        for child in tree.children(directory).into_iter().flatten().map(|(_, child)| *child) {
            let is_new = links[child.index()] == 0;
            links[child.index()] += 1;
            if is_new {
                found.push((child, directory));
            }
            if tree.children(child).is_some() {
                // Its own `.`, and its `..` as a name of this directory.
                links[child.index()] += 1;
                links[directory.index()] += 1;
                pending.push(child);
            }
        }
        pending[first_new..].reverse();
    }
    (found, links)
}

/// The time that most files have, the earliest of several.
fn commonest_time(tree: &Tree, found: &[(NodeId, NodeId)]) -> Timestamp {
    let mut counts = HashMap::<Timestamp, u64>::new();
    for (node, _) in found {
        *counts.entry(tree.node(*node).attributes.mtime).or_default() += 1;
    }
    let commonest = counts.into_iter().max_by_key(|(time, count)| (*count, Reverse(*time)));
    commonest.map(|(time, _)| time).unwrap_or_default()
}

/// Gives an inode its form and its place behind `end`, and moves `end` behind it.
fn place(
    tree: &Tree,
    node: NodeId,
    parent: NodeId,
    links: u32,
    ordinal: u32,
    epoch: Timestamp,
    end: &mut u64,
) -> Result<Placed, ErofsError> {
    let file = tree.node(node);
    let size = match &file.body {
        Body::Directory(children) => directory::size(directory::with_dots(children.keys().copied())),
        Body::File { extent, .. } => extent.bytes,
        Body::Symlink { target } => target.len() as u64,
        Body::CharacterDevice { .. } | Body::BlockDevice { .. } | Body::Fifo => 0,
    };
    let xattr_bytes = xattr::size(&file.attributes.xattrs);
    if xattr_bytes > xattr::BYTES_MAX {
        return Err(ErofsError::Xattrs { bytes: xattr_bytes });
    }
    let is_extended = !InodeFields::fits_compact(file.attributes, epoch, size, links);
    let inode_bytes = if is_extended { EXTENDED_BYTES } else { COMPACT_BYTES };
    let tail = size % BLOCK_BYTES;
    let whole = inode_bytes + xattr_bytes + tail;
    // Regular files never: their pages could not be mapped.
    let may_be_inline = matches!(file.body, Body::Directory(_) | Body::Symlink { .. });
    let is_inline = may_be_inline && tail > 0 && whole <= INLINE_BYTES_MAX;
    // An inode keeps inside one block, together with what is inline; Linux refuses such contents across two.
    let unbroken = if is_inline { whole } else { inode_bytes };
    let mut offset = end.next_multiple_of(SLOT_BYTES);
    if offset % BLOCK_BYTES + unbroken > BLOCK_BYTES {
        offset = offset.next_multiple_of(BLOCK_BYTES);
    }
    *end = offset + inode_bytes + xattr_bytes + if is_inline { tail } else { 0 };
    let fields = InodeFields {
        is_extended,
        is_inline,
        xattr_bytes,
        location: 0,
        size,
        links,
        ordinal,
    };
    Ok(Placed {
        node,
        parent,
        offset,
        fields,
    })
}

/// Fills in where contents are, now that the length of the inodes is known.
fn locate_contents(tree: &Tree, layout: &mut Layout, part_blocks: &[u64]) -> Result<(), ErofsError> {
    let in_metadata: u64 = layout
        .inodes
        .iter()
        .map(|placed| placed.metadata_blocks(&tree.node(placed.node).body))
        .sum();
    layout.metadata_blocks = layout.inode_area_blocks + in_metadata;
    let mut part_starts = Vec::with_capacity(part_blocks.len());
    let mut total = layout.metadata_blocks;
    for blocks in part_blocks {
        part_starts.push(total);
        total = total.saturating_add(*blocks);
    }
    // The highest number stands for "no block".
    layout.total_blocks = u32::try_from(total)
        .ok()
        .filter(|blocks| *blocks < u32::MAX)
        .ok_or(ErofsError::TooLarge { blocks: total })?;
    let mut next_block = layout.inode_area_blocks;
    for placed in &mut layout.inodes {
        let body = &tree.node(placed.node).body;
        let blocks = placed.metadata_blocks(body);
        let location = match body {
            Body::CharacterDevice { major, minor } | Body::BlockDevice { major, minor } => {
                placed.fields.location = pack_device(*major, *minor);
                continue;
            }
            Body::File { layer, extent } if extent.bytes > 0 => {
                let (start, length) = part_starts.get(*layer).zip(part_blocks.get(*layer)).unwrap_or((&0, &0));
                if extent
                    .block
                    .checked_add(extent.blocks())
                    .is_none_or(|end| end > *length)
                {
                    return Err(ErofsError::Extent { layer: *layer });
                }
                start + extent.block
            }
            Body::Directory(_) | Body::Symlink { .. } if blocks > 0 => next_block,
            _ => 0,
        };
        next_block += blocks;
        // Lossless: it lies inside the file system, whose length has been checked.
        placed.fields.location = u32::try_from(location).unwrap_or_default();
    }
    Ok(())
}
