//! One layer: a tar stream in, a data file and an index out.
//!
//! The data file holds what regular files contain, each file from a fresh 4096-byte block and identical files once, small
//! ones packed several to a block; the index holds everything else. [`convert()`] makes both in one pass. The image's paths are never given to the host's
//! file system: [`path`] brings them into one form, and that is all that happens to them here.

mod convert;
mod data;
mod entry;
pub mod path;

pub use convert::{Head, LayerError, convert};
pub use entry::{Attributes, Change, Content, Entry, Extent, Inode, Packed, Xattr};

/// Where the inodes of small files can begin in data files: inode numbers count such slots.
pub const SLOT_BYTES: u64 = 32;

/// Size of a block in data files and rootfs snapshots: the page size of the guest, so that file contents can be mapped.
pub const BLOCK_BYTES: u64 = 4096;

#[cfg(test)]
mod tests;
