//! Following a path through a tree, symbolic links included, without ever leaving its root.

use crate::layer::path;
use crate::limits::NAME_BYTES_MAX;
use crate::tree::{FileType, NodeId, Tree};

/// Symbolic links followed on one path, as in Linux (`MAXSYMLINKS`).
const LINKS_MAX: usize = 40;

/// Steps for a whole merge: a million deep paths need a tenth of it, and links made to lead in circles come to an end.
pub(super) const STEPS_MAX: u64 = 200_000_000;

/// Why a path leads nowhere.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ResolveError {
    /// A component is neither a directory nor a link to one.
    #[error("{component} is not a directory")]
    NotADirectory {
        /// The component.
        component: String,
    },
    /// A symbolic link leads to a name that no file can have.
    #[error("a component is longer than {NAME_BYTES_MAX} bytes")]
    Name,
    /// More symbolic links than Linux would follow.
    #[error("too many symbolic links")]
    Links,
    /// The image is made to waste our time.
    #[error("the image's symbolic links take too long to follow")]
    Steps,
}

/// The directories that lead to a place, the root first and left out; `None` for those that do not exist.
pub(super) type Trail = Vec<(Box<[u8]>, Option<NodeId>)>;

/// Follows all of `directory`. What does not exist is taken as a directory that could be made.
pub(super) fn follow(tree: &Tree, directory: &[u8], steps_left: &mut u64) -> Result<Trail, ResolveError> {
    let mut trail = Trail::new();
    let mut pending: Vec<&[u8]> = path::components(directory).rev().collect();
    let mut links = 0;
    while let Some(component) = pending.pop() {
        *steps_left = steps_left.checked_sub(1).ok_or(ResolveError::Steps)?;
        match component {
            _ if component.len() > NAME_BYTES_MAX => return Err(ResolveError::Name),
            b"." => continue,
            b".." => {
                trail.pop();
                continue;
            }
            _ => {}
        }
        let here = trail.last().map_or(Some(NodeId::ROOT), |(_, id)| *id);
        let child = here
            .and_then(|id| tree.children(id))
            .and_then(|children| children.get(component).copied());
        match child.map(|id| (tree.node(id).file_type(), id)) {
            None | Some((FileType::Directory, _)) => trail.push((component.into(), child)),
            Some((FileType::Symlink, id)) => {
                let target = tree.target(id).unwrap_or_default();
                links += 1;
                if links > LINKS_MAX {
                    return Err(ResolveError::Links);
                }
                if target.starts_with(b"/") {
                    trail.clear();
                }
                let before = pending.len();
                pending.extend(path::components(target).rev());
                // Taken apart even if they are never walked.
                let taken = (pending.len() - before) as u64;
                *steps_left = steps_left.checked_sub(taken).ok_or(ResolveError::Steps)?;
            }
            Some(_) => {
                return Err(ResolveError::NotADirectory {
                    component: path::display(component),
                });
            }
        }
    }
    Ok(trail)
}

/// The directory at the end of a trail, if all of it exists.
pub(super) fn end(trail: &Trail) -> Option<NodeId> {
    trail.last().map_or(Some(NodeId::ROOT), |(_, id)| *id)
}
