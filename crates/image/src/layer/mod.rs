//! One layer: a tar stream in, a data file and an index out.
//!
//! The data file holds what regular files contain, each file from a fresh 4096-byte block and identical files once;
//! the index holds everything else. [`convert()`] makes both in one pass. The image's paths are never given to the host's
//! file system: [`path`] brings them into one form, and that is all that happens to them here.

mod convert;
mod data;
mod entry;
pub mod path;

pub use convert::{LayerError, convert};
pub use entry::{Attributes, Change, Content, Entry, Extent, Inode, Xattr};

/// Size of a block in data files and rootfs snapshots: the page size of the guest, so that file contents can be mapped.
pub const BLOCK_BYTES: u64 = 4096;

#[cfg(test)]
mod tests;
