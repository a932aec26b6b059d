//! The first pass: every inode gets its place, every directory its blocks.
//!
//! What is kept of an inode is its number alone; the second pass places all of them again, in the same order.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::format::{
    COMPACT_BYTES, EXTENDED_BYTES, InodeFields, SLOT_BYTES, SUPERBLOCK_BYTES, SUPERBLOCK_OFFSET, pack_device,
};
use super::{ErofsError, directory, xattr};
use crate::index::Index;
use crate::layer::{BLOCK_BYTES, Content, Inode};
use crate::tar::Timestamp;
use crate::tree::{Inodes, NodeId, Tree};

/// Contents that are longer than this together with their inode get blocks of their own: packing them behind the
/// inode would waste as much at the ends of blocks as it saves.
const INLINE_BYTES_MAX: u64 = BLOCK_BYTES / 2;

/// The most different times that are counted.
const TIMES_MAX: usize = 1 << 16;

/// Where everything goes.
#[derive(Debug)]
pub(super) struct Plan {
    /// The nodes whose inodes are in the metadata, each with the directory it was first found in, in the order of their places.
    pub found: Vec<(NodeId, NodeId)>,
    /// Number of all nodes that have a path.
    pub inodes: u64,
    /// The time of every inode in the short form.
    pub epoch: Timestamp,
    /// Where the inodes end and blocks of directories and links begin.
    pub inode_area_blocks: u64,
    /// Length of the whole metadata.
    pub metadata_blocks: u64,
    /// Length of the file system, layers included.
    pub total_blocks: u32,
    /// Where each layer's data begins, in blocks.
    part_starts: Vec<u64>,
    /// Number of names of each node by [`NodeId::index`].
    links: Vec<u32>,
    /// Number under which Linux finds each node's inode, by [`NodeId::index`]; 0 for nodes without a path.
    nids: Vec<u64>,
}

/// One inode and its place in the metadata.
#[derive(Debug)]
pub(super) struct Placed {
    /// In bytes from the start of the metadata.
    pub offset: u64,
    pub fields: InodeFields,
    pub inode: Inode,
}

/// Places one inode after another.
pub(super) struct Placer<'a> {
    tree: &'a Tree,
    inodes: Inodes<'a>,
    end: u64,
    ordinal: u32,
    /// Blocks of directories and links so far.
    own_blocks: u64,
}

impl Plan {
    /// The number under which Linux finds the node's inode.
    pub fn nid(&self, node: NodeId) -> u64 {
        self.nids[node.index()]
    }

    /// Takes out the nodes whose inodes lie in a layer's data, and answers them; their numbers count from the start of that. The
    /// time that most of the others have becomes the file system's, the earliest of several.
    fn sort_out(&mut self, tree: &Tree, inodes: &mut Inodes) -> Result<Vec<NodeId>, ErofsError> {
        let mut counts = HashMap::<Timestamp, u64>::new();
        let mut packed = Vec::new();
        let mut stay = Vec::new();
        for (node, parent) in std::mem::take(&mut self.found) {
            let inode = inodes.get(tree.node(node))?;
            if let (Content::Packed(place), 1) = (&inode.content, self.links[node.index()]) {
                self.nids[node.index()] = place.slot;
                packed.push(node);
                continue;
            }
            let time = inode.attributes.mtime;
            if counts.len() < TIMES_MAX || counts.contains_key(&time) {
                *counts.entry(time).or_default() += 1;
            }
            stay.push((node, parent));
        }
        let commonest = counts.into_iter().max_by_key(|(time, count)| (*count, Reverse(*time)));
        self.epoch = commonest.map(|(time, _)| time).unwrap_or_default();
        self.found = stay;
        Ok(packed)
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
    fn own_blocks(&self) -> u64 {
        match self.inode.content {
            Content::Directory | Content::Symlink { .. } => {
                (self.fields.size - self.inline_bytes()).div_ceil(BLOCK_BYTES)
            }
            _ => 0,
        }
    }
}

/// Plans the file system.
pub(super) fn plan(tree: &Tree, layers: &[&Index]) -> Result<Plan, ErofsError> {
    let (found, links) = walk(tree);
    let mut plan = Plan {
        inodes: found.len() as u64,
        found,
        epoch: Timestamp::default(),
        inode_area_blocks: 0,
        metadata_blocks: 0,
        total_blocks: 0,
        part_starts: Vec::with_capacity(layers.len()),
        links,
        nids: vec![0; tree.nodes_len()],
    };
    let packed = plan.sort_out(tree, &mut Inodes::new(layers))?;
    let mut placer = Placer::new(tree, layers);
    for (node, _) in &plan.found {
        plan.nids[node.index()] = placer.place(*node, &plan)?.offset / SLOT_BYTES;
    }
    plan.inode_area_blocks = placer.end.div_ceil(BLOCK_BYTES);
    plan.metadata_blocks = plan.inode_area_blocks + placer.own_blocks;
    let mut total = plan.metadata_blocks;
    for layer in layers {
        plan.part_starts.push(total);
        total = total.saturating_add(layer.data_blocks());
    }
    // The highest number stands for "no block".
    plan.total_blocks = u32::try_from(total)
        .ok()
        .filter(|blocks| *blocks < u32::MAX)
        .ok_or(ErofsError::TooLarge { blocks: total })?;
    for node in packed {
        let layer = tree.node(node).origin().layer();
        let start = layer.and_then(|layer| plan.part_starts.get(layer));
        plan.nids[node.index()] += start.unwrap_or(&0) * (BLOCK_BYTES / SLOT_BYTES);
    }
    Ok(plan)
}

/// All nodes that have a path, in an order that keeps the files of a directory together, and the number of names of
/// each by [`NodeId::index`].
fn walk(tree: &Tree) -> (Vec<(NodeId, NodeId)>, Vec<u32>) {
    let mut links = vec![0_u32; tree.nodes_len()];
    let mut found = Vec::with_capacity(tree.nodes_len());
    found.push((NodeId::ROOT, NodeId::ROOT));
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

impl<'a> Placer<'a> {
    /// Starts behind the superblock.
    pub fn new(tree: &'a Tree, layers: &[&'a Index]) -> Self {
        Self {
            tree,
            inodes: Inodes::new(layers),
            end: (SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES) as u64,
            ordinal: 0,
            own_blocks: 0,
        }
    }

    /// Gives the next of the found nodes its form and its place.
    pub fn place(&mut self, node: NodeId, plan: &Plan) -> Result<Placed, ErofsError> {
        let inode = self.inodes.get(self.tree.node(node))?;
        let links = plan.links[node.index()];
        self.ordinal += 1;
        let size = match &inode.content {
            Content::Directory => {
                let names = self
                    .tree
                    .children(node)
                    .into_iter()
                    .flat_map(|children| children.keys());
                directory::size(directory::with_dots(names.map(|name| &**name)))
            }
            Content::File(extent) => extent.bytes,
            Content::Packed(packed) => packed.bytes,
            Content::Symlink { target } => target.len() as u64,
            Content::CharacterDevice { .. } | Content::BlockDevice { .. } | Content::Fifo => 0,
        };
        let xattr_bytes = xattr::size(&inode.attributes.xattrs);
        if xattr_bytes > xattr::BYTES_MAX {
            return Err(ErofsError::Xattrs { bytes: xattr_bytes });
        }
        let is_extended = !InodeFields::fits_compact(&inode.attributes, plan.epoch, size, links);
        let inode_bytes = if is_extended { EXTENDED_BYTES } else { COMPACT_BYTES };
        let tail = size % BLOCK_BYTES;
        let whole = inode_bytes + xattr_bytes + tail;
        // Regular files only where they were packed: their pages cannot be mapped.
        let may_be_inline = matches!(inode.content, Content::Directory | Content::Symlink { .. });
        let must_be_inline = matches!(inode.content, Content::Packed(_));
        let is_inline = must_be_inline || may_be_inline && tail > 0 && whole <= INLINE_BYTES_MAX;
        // An inode keeps inside one block, together with what is inline; Linux refuses such contents across two.
        let unbroken = if is_inline { whole } else { inode_bytes };
        if unbroken > BLOCK_BYTES {
            return Err(ErofsError::Xattrs { bytes: xattr_bytes });
        }
        let mut offset = self.end.next_multiple_of(SLOT_BYTES);
        if offset % BLOCK_BYTES + unbroken > BLOCK_BYTES {
            offset = offset.next_multiple_of(BLOCK_BYTES);
        }
        self.end = offset + inode_bytes + xattr_bytes + if is_inline { tail } else { 0 };
        let fields = InodeFields {
            is_extended,
            is_inline,
            xattr_bytes,
            location: 0,
            size,
            links,
            ordinal: self.ordinal,
        };
        let mut placed = Placed { offset, fields, inode };
        placed.fields.location = self.locate(node, &placed, plan);
        self.own_blocks += placed.own_blocks();
        Ok(placed)
    }

    /// Where the contents are; of no meaning before the plan is made.
    fn locate(&self, node: NodeId, placed: &Placed, plan: &Plan) -> u32 {
        let block = match &placed.inode.content {
            Content::CharacterDevice { major, minor } | Content::BlockDevice { major, minor } => {
                return pack_device(*major, *minor);
            }
            Content::File(extent) if extent.bytes > 0 => {
                let layer = self.tree.node(node).origin().layer();
                let start = layer.and_then(|layer| plan.part_starts.get(layer));
                start.map_or(0, |start| start + extent.block)
            }
            Content::Directory | Content::Symlink { .. } if placed.own_blocks() > 0 => {
                plan.inode_area_blocks + self.own_blocks
            }
            _ => 0,
        };
        // Lossless once planned: it lies inside the file system, whose length has been checked.
        u32::try_from(block).unwrap_or_default()
    }
}
