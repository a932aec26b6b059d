//! What shows, without a look at its contents, whether somebody has touched a file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

/// What Linux changes, or lets only root keep, when a file is changed or replaced (`inode(7)`). Two of the same file that are equal
/// were taken with no change between them, but for one within the file system's clock tick or through a shared mapping on a tmpfs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    inode: u64,
    len_bytes: u64,
    /// Time of the last change of the contents: seconds and nanoseconds.
    modified: (i64, i64),
    /// Time of the last change of anything.
    changed: (i64, i64),
    owner: u32,
    mode: u32,
}

impl Stamp {
    /// That of the file that has this metadata.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            inode: metadata.ino(),
            len_bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            owner: metadata.uid(),
            mode: metadata.mode(),
        }
    }
}
