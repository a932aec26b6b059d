//! What stands behind a disk.

mod concatenation;
mod raw_file;
#[expect(unsafe_code, reason = "guest memory goes to the kernel by its address")]
mod vectored;

use std::io;

pub use concatenation::{Concatenation, ConcatenationError, Part};
pub use raw_file::{RawFile, RawFileError};

use crate::ring::buffers::Span;

/// What a host file system gives back at least, in sectors.
pub(super) const HOST_BLOCK_SECTORS: u32 = 8;
/// The block size of a disk that names no other, in bytes.
const COMMON_BLOCK_BYTES: u32 = 512;

/// What stands behind a disk.
#[derive(Debug)]
pub enum Backend {
    /// Files, one behind the other, none of them ever changed.
    Concatenation(Concatenation),
    /// One file that the guest may change.
    RawFile(RawFile),
}

impl Backend {
    pub(super) fn capacity_bytes(&self) -> u64 {
        match self {
            Self::Concatenation(files) => files.capacity_bytes(),
            Self::RawFile(file) => file.capacity_bytes(),
        }
    }

    /// The block size that is recommended to the guest, in bytes. A writable disk may hold a partition table or a file
    /// system with small blocks, which are only found under the common size.
    pub(super) fn block_bytes(&self) -> u32 {
        match self {
            Self::Concatenation(_) => HOST_BLOCK_SECTORS * COMMON_BLOCK_BYTES,
            Self::RawFile(_) => COMMON_BLOCK_BYTES,
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        matches!(self, Self::RawFile(_))
    }

    /// Fills `into` with what is stored at `offset`, in bytes.
    pub(super) fn read_at(&self, offset: u64, into: &Span<'_>) -> io::Result<()> {
        match self {
            Self::Concatenation(files) => files.read_at(offset, into),
            Self::RawFile(file) => file.read_at(offset, into),
        }
    }
}
