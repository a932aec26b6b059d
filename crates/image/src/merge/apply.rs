//! Applies layer after layer.

use super::resolve::{self, ResolveError, STEPS_MAX, Trail};
use crate::layer::path;
use crate::layer::{Change, Content, Entry, Inode, LayerIndex};
use crate::tree::{Body, Children, IMPLICIT_DIRECTORY, Node, NodeId, Tree};

/// Files in one image, those that upper layers hide included.
const NODES_MAX: usize = 8_000_000;

/// Longest path in the tree, once symbolic links in it are followed: Linux's `PATH_MAX` without the closing NUL.
const PATH_BYTES_MAX: usize = 4095;

/// Why layers make no tree. Layers are counted from the lowest, which is 0.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    /// An entry's path cannot be followed.
    #[error("cannot follow {path} in layer {layer}")]
    Resolve {
        /// The layer.
        layer: usize,
        /// The entry's path.
        path: String,
        /// What stands in the way.
        source: ResolveError,
    },
    /// A hard link to nothing.
    #[error("hard link {path} in layer {layer} has no target {target}")]
    LinkTarget {
        /// The layer.
        layer: usize,
        /// The link's path.
        path: String,
        /// What it should be another name of.
        target: String,
    },
    /// A hard link to a directory, which no Linux file system has.
    #[error("hard link {path} in layer {layer} leads to a directory")]
    LinkDirectory {
        /// The layer.
        layer: usize,
        /// The link's path.
        path: String,
    },
    /// A path that Linux could not open.
    #[error("path {path} in layer {layer} becomes longer than {PATH_BYTES_MAX} bytes")]
    PathLength {
        /// The layer.
        layer: usize,
        /// The entry's path.
        path: String,
    },
    /// Too many files.
    #[error("image has more than {NODES_MAX} files")]
    TooManyFiles,
}

/// Merges `layers`, the lowest first, into the tree that a container of the image sees.
pub fn merge<'layers>(layers: &[&'layers LayerIndex]) -> Result<Tree<'layers>, MergeError> {
    let mut merge = Merge {
        tree: Tree::new(),
        layer: 0,
        steps_left: STEPS_MAX,
        parent: None,
    };
    for (layer, index) in layers.iter().enumerate() {
        merge.layer = layer;
        merge.take_away(&index.entries)?;
        for entry in &index.entries {
            merge.add(entry)?;
        }
    }
    Ok(merge.tree)
}

struct Merge<'layers> {
    tree: Tree<'layers>,
    layer: usize,
    steps_left: u64,
    /// The directory that the last entry was put into: most often that of the next one too.
    parent: Option<Parent<'layers>>,
}

/// A directory found by its path.
#[derive(Clone, Copy)]
struct Parent<'layers> {
    path: &'layers [u8],
    id: NodeId,
    /// Length of its path in the tree, with a slash behind each component.
    path_bytes: usize,
}

impl<'layers> Merge<'layers> {
    /// Takes away what the layer's whiteouts and opaque markers name. All are looked up before the first acts, so that
    /// their order has no meaning.
    fn take_away(&mut self, entries: &'layers [Entry]) -> Result<(), MergeError> {
        self.parent = None;
        let mut whiteouts = Vec::new();
        let mut opaque = Vec::new();
        for entry in entries {
            match entry.change {
                Change::Whiteout => {
                    let (directory, name) = path::split_last(&entry.path).unwrap_or_default();
                    whiteouts.extend(self.find(directory, entry)?.map(|id| (id, name)));
                }
                Change::Opaque => opaque.extend(self.find(&entry.path, entry)?),
                Change::Put(_) | Change::HardLink { .. } => {}
            }
        }
        for (directory, name) in whiteouts {
            if let Some(children) = self.tree.children_mut(directory) {
                children.remove(name);
            }
        }
        for directory in opaque {
            if let Some(children) = self.tree.children_mut(directory) {
                children.clear();
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: &'layers Entry) -> Result<(), MergeError> {
        let Some((directory, name)) = path::split_last(&entry.path) else {
            if let Change::Put(Inode { attributes, .. }) = &entry.change {
                self.tree.node_mut(NodeId::ROOT).attributes = attributes;
            }
            return Ok(());
        };
        match &entry.change {
            Change::Whiteout | Change::Opaque => Ok(()),
            Change::HardLink { target } => {
                let child = self.link_target(target, entry)?;
                self.place(directory, name, child, entry)
            }
            Change::Put(inode) => {
                let parent = self.make(directory, entry)?;
                let existing = self
                    .tree
                    .children(parent.id)
                    .and_then(|children| children.get(name).copied());
                let is_directory = |id: &NodeId| self.tree.children(*id).is_some();
                if let (Some(existing), Content::Directory) = (existing.filter(is_directory), &inode.content) {
                    self.tree.node_mut(existing).attributes = &inode.attributes;
                    return Ok(());
                }
                let node = Node {
                    attributes: &inode.attributes,
                    body: body(&inode.content, self.layer),
                };
                let child = self.add_node(node)?;
                self.place(directory, name, child, entry)
            }
        }
    }

    /// Gives `child` a name, in place of what had it.
    fn place(
        &mut self,
        directory: &'layers [u8],
        name: &'layers [u8],
        child: NodeId,
        entry: &Entry,
    ) -> Result<(), MergeError> {
        let parent = self.make(directory, entry)?;
        if parent.path_bytes + name.len() > PATH_BYTES_MAX {
            return Err(MergeError::PathLength {
                layer: self.layer,
                path: entry.display_path(),
            });
        }
        let replaced = self
            .tree
            .children_mut(parent.id)
            .and_then(|children| children.insert(name, child));
        // What paths lead through may have changed.
        if replaced.is_some_and(|id| matches!(self.tree.node(id).body, Body::Directory(_) | Body::Symlink { .. })) {
            self.parent = None;
        }
        Ok(())
    }

    fn link_target(&mut self, target: &'layers [u8], entry: &Entry) -> Result<NodeId, MergeError> {
        let (directory, name) = path::split_last(target).unwrap_or_default();
        let parent = self.find(directory, entry)?;
        let found = parent
            .and_then(|id| self.tree.children(id))
            .and_then(|children| children.get(name).copied());
        let (layer, path) = (self.layer, entry.display_path());
        match found {
            None => Err(MergeError::LinkTarget {
                layer,
                path,
                target: path::display(target),
            }),
            Some(id) if self.tree.children(id).is_some() => Err(MergeError::LinkDirectory { layer, path }),
            Some(id) => Ok(id),
        }
    }

    /// The directory at `directory`, or `None` if there is none.
    fn find(&mut self, directory: &'layers [u8], entry: &Entry) -> Result<Option<NodeId>, MergeError> {
        match resolve::follow(&self.tree, directory, &mut self.steps_left) {
            Ok(trail) => Ok(resolve::end(&trail)),
            Err(ResolveError::NotADirectory { .. } | ResolveError::Name | ResolveError::Links) => Ok(None),
            Err(source @ ResolveError::Steps) => Err(self.unresolved(entry, source)),
        }
    }

    /// The directory at `directory`, made if it is missing.
    fn make(&mut self, directory: &'layers [u8], entry: &Entry) -> Result<Parent<'layers>, MergeError> {
        if let Some(parent) = self.parent.filter(|parent| parent.path == directory) {
            return Ok(parent);
        }
        let trail = resolve::follow(&self.tree, directory, &mut self.steps_left)
            .map_err(|source| self.unresolved(entry, source))?;
        let path_bytes = trail.iter().map(|(name, _)| name.len() + 1).sum();
        if path_bytes > PATH_BYTES_MAX {
            return Err(MergeError::PathLength {
                layer: self.layer,
                path: entry.display_path(),
            });
        }
        let parent = Parent {
            path: directory,
            id: self.make_trail(&trail)?,
            path_bytes,
        };
        self.parent = Some(parent);
        Ok(parent)
    }

    fn make_trail(&mut self, trail: &Trail<'layers>) -> Result<NodeId, MergeError> {
        let mut here = NodeId::ROOT;
        for (name, id) in trail {
            here = match id {
                Some(id) => *id,
                None => {
                    let body = Body::Directory(Children::new());
                    let made = self.add_node(Node {
                        attributes: &IMPLICIT_DIRECTORY,
                        body,
                    })?;
                    if let Some(children) = self.tree.children_mut(here) {
                        children.insert(name, made);
                    }
                    made
                }
            };
        }
        Ok(here)
    }

    fn add_node(&mut self, node: Node<'layers>) -> Result<NodeId, MergeError> {
        if self.tree.nodes_len() >= NODES_MAX {
            return Err(MergeError::TooManyFiles);
        }
        self.tree.add(node).ok_or(MergeError::TooManyFiles)
    }

    fn unresolved(&self, entry: &Entry, source: ResolveError) -> MergeError {
        MergeError::Resolve {
            layer: self.layer,
            path: entry.display_path(),
            source,
        }
    }
}

fn body(content: &Content, layer: usize) -> Body<'_> {
    match content {
        Content::File(extent) => Body::File { layer, extent: *extent },
        Content::Directory => Body::Directory(Children::new()),
        Content::Symlink { target } => Body::Symlink { target },
        Content::CharacterDevice { major, minor } => Body::CharacterDevice {
            major: *major,
            minor: *minor,
        },
        Content::BlockDevice { major, minor } => Body::BlockDevice {
            major: *major,
            minor: *minor,
        },
        Content::Fifo => Body::Fifo,
    }
}
