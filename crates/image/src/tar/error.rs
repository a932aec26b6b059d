//! What can be wrong with a tar stream.

use std::io;

use super::header::HeaderError;
use super::pax::PaxError;
use super::sparse::SparseError;

/// Why a tar stream cannot be read on. Positions are bytes into the uncompressed stream.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// The stream below failed: the network, the disk, or a damaged compression.
    #[error("cannot read the tar stream at byte {position}")]
    Read {
        /// How far reading had come.
        position: u64,
        /// The failure.
        source: io::Error,
    },
    /// The stream ends where more must follow.
    #[error("the tar stream ends in the middle of an entry, at byte {position}")]
    Truncated {
        /// Length of the stream.
        position: u64,
    },
    /// More than the limit on the stream.
    #[error("the tar stream is longer than {limit} bytes")]
    TooLong {
        /// The limit in force.
        limit: u64,
    },
    /// A header block is none.
    #[error("bad tar header at byte {position}")]
    Header {
        /// Where the block starts.
        position: u64,
        /// What is wrong with it.
        source: HeaderError,
    },
    /// One block of zeros, but not the second one that ends an archive: readers disagree on what follows.
    #[error("a lone zero block at byte {position} is followed by more entries")]
    LoneZeroBlock {
        /// Where the block starts.
        position: u64,
    },
    /// An extended header is malformed.
    #[error("bad extended tar header at byte {position}")]
    Extended {
        /// Where its header block starts.
        position: u64,
        /// What is wrong with it.
        source: PaxError,
    },
    /// An extended header or an entry's attributes are larger than allowed.
    #[error("the tar header at byte {position} has {bytes} bytes of {what}, more than {limit}")]
    TooLarge {
        /// Where the header block starts.
        position: u64,
        /// What is too large.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The limit in force.
        limit: u64,
    },
    /// A sparse file's map is malformed.
    #[error("bad sparse file at byte {position}")]
    Sparse {
        /// Where the entry's header block starts.
        position: u64,
        /// What is wrong with it.
        source: SparseError,
    },
    /// A size, owner or device number that no file can have.
    #[error("{field} {value} of the tar entry at byte {position} is out of range")]
    Range {
        /// Where the header block starts.
        position: u64,
        /// The field's name.
        field: &'static str,
        /// What it holds.
        value: i128,
    },
    /// An entry type that no image layer uses.
    #[error("tar entry at byte {position} has the unsupported type {type_flag:?}")]
    Type {
        /// Where the header block starts.
        position: u64,
        /// The type flag.
        type_flag: char,
    },
}
