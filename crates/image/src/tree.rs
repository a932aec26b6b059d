//! The file tree of an image: what all its layers make together.

use std::collections::BTreeMap;

use crate::layer::{Attributes, Extent};

/// Names one file of a [`Tree`], which can have several paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// The entries of a directory, in byte order of their names.
pub type Children<'layers> = BTreeMap<&'layers [u8], NodeId>;

/// A file tree. Names and attributes stay with the layers it was merged from.
#[derive(Clone, Debug)]
pub struct Tree<'layers> {
    nodes: Vec<Node<'layers>>,
}

/// One file of any type.
#[derive(Clone, Debug)]
pub struct Node<'layers> {
    /// What `stat` tells.
    pub attributes: &'layers Attributes,
    /// What it is.
    pub body: Body<'layers>,
}

/// What a file of a tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'layers> {
    /// A directory and what is in it.
    Directory(Children<'layers>),
    /// A regular file.
    File {
        /// The layer whose data file holds the contents, counted from the lowest.
        layer: usize,
        /// Where in that data file.
        extent: Extent,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads.
        target: &'layers [u8],
    },
    /// A character device.
    CharacterDevice {
        /// Major number, 12 bits.
        major: u32,
        /// Minor number, 20 bits.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Major number, 12 bits.
        major: u32,
        /// Minor number, 20 bits.
        minor: u32,
    },
    /// A named pipe.
    Fifo,
}

/// A directory that no layer names, but that a path needs: the root of an image without layers is one.
pub static IMPLICIT_DIRECTORY: Attributes = Attributes {
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: crate::tar::Timestamp {
        seconds: 0,
        nanoseconds: 0,
    },
    xattrs: Vec::new(),
};

impl NodeId {
    /// The root directory.
    pub const ROOT: Self = Self(0);

    /// The node's place in tables of [`Tree::nodes_len`] entries.
    pub fn index(self) -> usize {
        // Lossless: pointers have at least 32 bits wherever this is built.
        self.0 as usize
    }
}

impl<'layers> Tree<'layers> {
    /// An empty root directory.
    pub fn new() -> Self {
        let root = Node {
            attributes: &IMPLICIT_DIRECTORY,
            body: Body::Directory(Children::new()),
        };
        Self { nodes: vec![root] }
    }

    /// Number of nodes ever made; those without a path any more are counted too.
    pub fn nodes_len(&self) -> usize {
        self.nodes.len()
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node<'layers> {
        &self.nodes[id.index()]
    }

    /// One node, to change.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node<'layers> {
        &mut self.nodes[id.index()]
    }

    /// The entries of a directory; of anything else, `None`.
    pub fn children(&self, id: NodeId) -> Option<&Children<'layers>> {
        match &self.node(id).body {
            Body::Directory(children) => Some(children),
            _ => None,
        }
    }

    /// The entries of a directory, to change.
    pub fn children_mut(&mut self, id: NodeId) -> Option<&mut Children<'layers>> {
        match &mut self.node_mut(id).body {
            Body::Directory(children) => Some(children),
            _ => None,
        }
    }

    /// Adds a node that has no path yet, or answers `None` if there are too many.
    pub fn add(&mut self, node: Node<'layers>) -> Option<NodeId> {
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        self.nodes.push(node);
        Some(id)
    }
}

impl Default for Tree<'_> {
    fn default() -> Self {
        Self::new()
    }
}
