//! The file tree of an image: what all its layers make together.

use std::collections::BTreeMap;

use crate::index::{Index, IndexError, Place, Records};
use crate::layer::{Attributes, Content, Inode};

/// Names one file of a [`Tree`], which can have several paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

/// The entries of a directory, in byte order of their names.
pub type Children = BTreeMap<Box<[u8]>, NodeId>;

/// A file tree: names, and where in the layers' indexes all else is. An image can have a million files, so what each takes here
/// counts: 16 bytes, and its names.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    directories: Vec<Children>,
    symlinks: Vec<Box<[u8]>>,
}

/// One file of any type.
#[derive(Clone, Copy, Debug)]
pub struct Node {
    origin: Origin,
    kind: Kind,
}

/// Where a file's attributes and contents are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(u64);

/// What a file of a tree is; the numbers are places in tables of the tree.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Directory(u32),
    Symlink(u32),
    File,
    CharacterDevice,
    BlockDevice,
    Fifo,
}

/// The type of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileType {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// The attributes of a directory that no layer names, but that a path needs: the root of an image without layers is one.
const IMPLICIT_DIRECTORY: Attributes = Attributes {
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtime: crate::tar::Timestamp {
        seconds: 0,
        nanoseconds: 0,
    },
    xattrs: Vec::new(),
};

impl Origin {
    /// No layer tells of it: a directory with the usual attributes.
    pub const IMPLICIT: Self = Self(u64::MAX);

    /// Bits for the place in an index; the others are the layer.
    const PLACE_BITS: u32 = 48;

    /// An entry of a layer, counted from the lowest. `None` beyond 65,534 layers or 256 TiB of index.
    pub fn new(layer: usize, place: Place) -> Option<Self> {
        let layer = u16::try_from(layer).ok().filter(|layer| *layer < u16::MAX)?;
        (place >> Self::PLACE_BITS == 0).then(|| Self(u64::from(layer) << Self::PLACE_BITS | place))
    }

    /// The layer, counted from the lowest; none for [`Self::IMPLICIT`].
    pub fn layer(self) -> Option<usize> {
        // Lossless: 16 bits.
        (self != Self::IMPLICIT).then_some((self.0 >> Self::PLACE_BITS) as usize)
    }

    fn place(self) -> Place {
        self.0 & ((1 << Self::PLACE_BITS) - 1)
    }
}

/// Reads what the nodes of a tree stand for, from the indexes of its layers.
pub struct Inodes<'a>(Vec<Records<'a>>);

impl<'a> Inodes<'a> {
    /// Of the layers that the tree was merged from, the lowest first.
    pub fn new(layers: &[&'a Index]) -> Self {
        Self(layers.iter().map(|index| index.records()).collect())
    }

    /// The file without its names.
    ///
    /// # Errors
    /// If the layer's index cannot be read.
    pub fn get(&mut self, node: &Node) -> Result<Inode, IndexError> {
        let records = node.origin.layer().and_then(|layer| self.0.get_mut(layer));
        match records {
            Some(records) => records.inode(node.origin.place()),
            None => Ok(Inode {
                attributes: IMPLICIT_DIRECTORY,
                content: Content::Directory,
            }),
        }
    }
}

impl Node {
    /// Where its attributes are told.
    pub fn origin(&self) -> Origin {
        self.origin
    }

    /// What it is.
    pub fn file_type(&self) -> FileType {
        match self.kind {
            Kind::Directory(_) => FileType::Directory,
            Kind::Symlink(_) => FileType::Symlink,
            Kind::File => FileType::File,
            Kind::CharacterDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Fifo => FileType::Fifo,
        }
    }
}

impl NodeId {
    /// The root directory.
    pub const ROOT: Self = Self(0);

    /// The node's place in tables of [`Tree::nodes_len`] entries.
    pub fn index(self) -> usize {
        // Lossless: pointers have at least 32 bits wherever this is built.
        self.0 as usize
    }
}

impl Tree {
    /// An empty root directory.
    pub fn new() -> Self {
        let root = Node {
            origin: Origin::IMPLICIT,
            kind: Kind::Directory(0),
        };
        Self {
            nodes: vec![root],
            directories: vec![Children::new()],
            symlinks: Vec::new(),
        }
    }

    /// Number of nodes ever made; those without a path any more are counted too.
    pub fn nodes_len(&self) -> usize {
        self.nodes.len()
    }

    /// One node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// The entries of a directory; of anything else, `None`.
    pub fn children(&self, id: NodeId) -> Option<&Children> {
        match self.node(id).kind {
            Kind::Directory(at) => self.directories.get(at as usize),
            _ => None,
        }
    }

    /// The target of a symbolic link; of anything else, `None`.
    pub fn target(&self, id: NodeId) -> Option<&[u8]> {
        match self.node(id).kind {
            Kind::Symlink(at) => self.symlinks.get(at as usize).map(|target| &**target),
            _ => None,
        }
    }

    /// Has a node's attributes told somewhere else.
    pub fn set_origin(&mut self, id: NodeId, origin: Origin) {
        self.nodes[id.index()].origin = origin;
    }

    /// Puts a node into a directory. Answers the one that had the name before.
    pub fn insert(&mut self, directory: NodeId, name: &[u8], child: NodeId) -> Option<NodeId> {
        let replaced = self.children_mut(directory)?.insert(name.into(), child);
        replaced
            .filter(|replaced| *replaced != child)
            .inspect(|replaced| self.forget(*replaced))
    }

    /// Takes a name out of a directory, and with it what is in there.
    pub fn remove(&mut self, directory: NodeId, name: &[u8]) {
        let removed = self.children_mut(directory).and_then(|children| children.remove(name));
        if let Some(removed) = removed {
            self.forget(removed);
        }
    }

    /// Takes everything out of a directory.
    pub fn clear(&mut self, directory: NodeId) {
        self.forget(directory);
    }

    /// Frees the names below a directory that nothing leads to any more: no directory has two paths.
    fn forget(&mut self, id: NodeId) {
        let mut pending = vec![id];
        while let Some(id) = pending.pop() {
            if let Some(children) = self.children_mut(id) {
                pending.extend(std::mem::take(children).into_values());
            }
        }
    }

    fn children_mut(&mut self, id: NodeId) -> Option<&mut Children> {
        match self.node(id).kind {
            Kind::Directory(at) => self.directories.get_mut(at as usize),
            _ => None,
        }
    }

    /// Adds a node that has no path yet, or answers `None` if there are too many.
    pub fn add(&mut self, origin: Origin, content: &Content) -> Option<NodeId> {
        let id = NodeId(u32::try_from(self.nodes.len()).ok()?);
        let kind = match content {
            Content::Directory => {
                self.directories.push(Children::new());
                Kind::Directory(u32::try_from(self.directories.len() - 1).ok()?)
            }
            Content::Symlink { target } => {
                self.symlinks.push(target.clone());
                Kind::Symlink(u32::try_from(self.symlinks.len() - 1).ok()?)
            }
            Content::File(_) | Content::Packed(_) => Kind::File,
            Content::CharacterDevice { .. } => Kind::CharacterDevice,
            Content::BlockDevice { .. } => Kind::BlockDevice,
            Content::Fifo => Kind::Fifo,
        };
        self.nodes.push(Node { origin, kind });
        Some(id)
    }
}

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}
