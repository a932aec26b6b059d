//! Applies layer after layer.

use super::resolve::{self, ResolveError, STEPS_MAX, Trail};
use crate::index::{Index, IndexError, Place};
use crate::layer::path;
use crate::layer::{Change, Content, Entry, Inode};
use crate::tree::{FileType, NodeId, Origin, Tree};

/// Files in one image, those that upper layers hide included.
const NODES_MAX: usize = 8_000_000;

/// Longest path in the tree, once symbolic links in it are followed: Linux's `PATH_MAX` without the closing NUL.
const PATH_BYTES_MAX: usize = 4095;

/// Why layers make no tree. Layers are counted from the lowest, which is 0.
#[derive(Debug, thiserror::Error)]
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
    /// A layer's index cannot be read.
    #[error("cannot read what layer {layer} does")]
    Index {
        /// The layer.
        layer: usize,
        /// Why not.
        source: IndexError,
    },
}

/// Merges `layers`, the lowest first, into the tree that a container of the image sees.
pub fn merge(layers: &[&Index]) -> Result<Tree, MergeError> {
    let mut merge = Merge {
        tree: Tree::new(),
        layer: 0,
        steps_left: STEPS_MAX,
        parent: None,
    };
    for (layer, index) in layers.iter().enumerate() {
        merge.layer = layer;
        merge.parent = None;
        if index.takes_away() {
            merge.take_away(index)?;
        }
        for entry in index.entries() {
            let (entry, place) = entry.map_err(|source| MergeError::Index { layer, source })?;
            merge.add(&entry, place)?;
        }
    }
    Ok(merge.tree)
}

struct Merge {
    tree: Tree,
    layer: usize,
    steps_left: u64,
    /// The directory that the last entry was put into: most often that of the next one too.
    parent: Option<Parent>,
}

/// A directory found by its path.
struct Parent {
    path: Box<[u8]>,
    id: NodeId,
    /// Length of its path in the tree, with a slash behind each component.
    path_bytes: usize,
}

impl Merge {
    /// Takes away what the layer's whiteouts and opaque markers name. All are looked up before the first acts, so that
    /// their order has no meaning.
    fn take_away(&mut self, index: &Index) -> Result<(), MergeError> {
        let layer = self.layer;
        let mut whiteouts: Vec<(NodeId, Box<[u8]>)> = Vec::new();
        let mut opaque = Vec::new();
        for entry in index.entries() {
            let (entry, _) = entry.map_err(|source| MergeError::Index { layer, source })?;
            match entry.change {
                Change::Whiteout => {
                    let (directory, name) = path::split_last(&entry.path).unwrap_or_default();
                    whiteouts.extend(self.find(directory, &entry)?.map(|id| (id, name.into())));
                }
                Change::Opaque => opaque.extend(self.find(&entry.path, &entry)?),
                Change::Put(_) | Change::HardLink { .. } => {}
            }
        }
        for (directory, name) in whiteouts {
            self.tree.remove(directory, &name);
        }
        for directory in opaque {
            self.tree.clear(directory);
        }
        Ok(())
    }

    fn add(&mut self, entry: &Entry, place: Place) -> Result<(), MergeError> {
        let origin = Origin::new(self.layer, place).ok_or(MergeError::TooManyFiles)?;
        let Some((directory, name)) = path::split_last(&entry.path) else {
            if let Change::Put(_) = &entry.change {
                self.tree.set_origin(NodeId::ROOT, origin);
            }
            return Ok(());
        };
        match &entry.change {
            Change::Whiteout | Change::Opaque => Ok(()),
            Change::HardLink { target } => {
                let child = self.link_target(target, entry)?;
                self.place(directory, name, child, entry)
            }
            Change::Put(Inode { content, .. }) => {
                let (parent, _) = self.make(directory, entry)?;
                let existing = self
                    .tree
                    .children(parent)
                    .and_then(|children| children.get(name).copied());
                let is_directory = |id: &NodeId| self.tree.children(*id).is_some();
                if let (Some(existing), Content::Directory) = (existing.filter(is_directory), content) {
                    self.tree.set_origin(existing, origin);
                    return Ok(());
                }
                let child = self.add_node(origin, content)?;
                self.place(directory, name, child, entry)
            }
        }
    }

    /// Gives `child` a name, in place of what had it.
    fn place(&mut self, directory: &[u8], name: &[u8], child: NodeId, entry: &Entry) -> Result<(), MergeError> {
        let (parent, path_bytes) = self.make(directory, entry)?;
        if path_bytes + name.len() > PATH_BYTES_MAX {
            return Err(MergeError::PathLength {
                layer: self.layer,
                path: entry.display_path(),
            });
        }
        let replaced = self.tree.insert(parent, name, child);
        let leads_on = |id: NodeId| matches!(self.tree.node(id).file_type(), FileType::Directory | FileType::Symlink);
        // What paths lead through may have changed.
        if replaced.is_some_and(leads_on) {
            self.parent = None;
        }
        Ok(())
    }

    fn link_target(&mut self, target: &[u8], entry: &Entry) -> Result<NodeId, MergeError> {
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
    fn find(&mut self, directory: &[u8], entry: &Entry) -> Result<Option<NodeId>, MergeError> {
        match resolve::follow(&self.tree, directory, &mut self.steps_left) {
            Ok(trail) => Ok(resolve::end(&trail)),
            Err(ResolveError::NotADirectory { .. } | ResolveError::Name | ResolveError::Links) => Ok(None),
            Err(source @ ResolveError::Steps) => Err(self.unresolved(entry, source)),
        }
    }

    /// The directory at `directory`, made if it is missing, and the length of its path in the tree.
    fn make(&mut self, directory: &[u8], entry: &Entry) -> Result<(NodeId, usize), MergeError> {
        if let Some(parent) = self.parent.as_ref().filter(|parent| *parent.path == *directory) {
            return Ok((parent.id, parent.path_bytes));
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
        let id = self.make_trail(&trail)?;
        self.parent = Some(Parent {
            path: directory.into(),
            id,
            path_bytes,
        });
        Ok((id, path_bytes))
    }

    fn make_trail(&mut self, trail: &Trail) -> Result<NodeId, MergeError> {
        let mut here = NodeId::ROOT;
        for (name, id) in trail {
            here = match id {
                Some(id) => *id,
                None => {
                    let made = self.add_node(Origin::IMPLICIT, &Content::Directory)?;
                    self.tree.insert(here, name, made);
                    made
                }
            };
        }
        Ok(here)
    }

    fn add_node(&mut self, origin: Origin, content: &Content) -> Result<NodeId, MergeError> {
        if self.tree.nodes_len() >= NODES_MAX {
            return Err(MergeError::TooManyFiles);
        }
        self.tree.add(origin, content).ok_or(MergeError::TooManyFiles)
    }

    fn unresolved(&self, entry: &Entry, source: ResolveError) -> MergeError {
        MergeError::Resolve {
            layer: self.layer,
            path: entry.display_path(),
            source,
        }
    }
}
