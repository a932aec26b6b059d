//! What stands behind a disk.

mod blocks;
mod concatenation;
mod copy_on_write;
mod raw_file;
#[expect(unsafe_code, reason = "guest memory goes to the kernel by its address")]
mod vectored;
mod zeros;

use std::io;

pub use concatenation::{Concatenation, ConcatenationError, Part};
pub use copy_on_write::{CopyOnWrite, CopyOnWriteError};
pub use raw_file::{RawFile, RawFileError};

use crate::block::request::Range;
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
    /// One file that is never changed, and one that holds what the guest has written since.
    CopyOnWrite(CopyOnWrite),
}

impl Backend {
    pub(super) fn capacity_bytes(&self) -> u64 {
        match self {
            Self::Concatenation(files) => files.capacity_bytes(),
            Self::RawFile(file) => file.capacity_bytes(),
            Self::CopyOnWrite(files) => files.capacity_bytes(),
        }
    }

    /// The block size that is recommended to the guest, in bytes. A writable disk may hold a partition table or a file
    /// system with small blocks, which are only found under the common size.
    pub(super) fn block_bytes(&self) -> u32 {
        match self {
            Self::Concatenation(_) => HOST_BLOCK_SECTORS * COMMON_BLOCK_BYTES,
            Self::RawFile(_) | Self::CopyOnWrite(_) => COMMON_BLOCK_BYTES,
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        match self {
            Self::Concatenation(_) => false,
            Self::RawFile(_) | Self::CopyOnWrite(_) => true,
        }
    }

    /// Fills `into` with what is stored at `offset`, in bytes.
    pub(super) fn read_at(&self, offset: u64, into: &Span<'_>) -> io::Result<()> {
        match self {
            Self::Concatenation(files) => files.read_at(offset, into),
            Self::RawFile(file) => file.read_at(offset, into),
            Self::CopyOnWrite(files) => files.read_at(offset, into),
        }
    }

    /// Stores all of `from` at `offset`, in bytes.
    pub(super) fn write_at(&self, offset: u64, from: &Span<'_>) -> io::Result<()> {
        match self {
            Self::Concatenation(_) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Self::RawFile(file) => file.write_at(offset, from),
            Self::CopyOnWrite(files) => files.write_at(offset, from),
        }
    }

    /// Makes what was written last as long as the disk does.
    pub(super) fn flush(&self) -> io::Result<()> {
        match self {
            // The one cannot be written, the other ends with this process.
            Self::Concatenation(_) | Self::CopyOnWrite(_) => Ok(()),
            Self::RawFile(file) => file.flush(),
        }
    }

    /// Forgets what is stored in this stretch.
    pub(super) fn discard(&self, range: Range) -> io::Result<()> {
        match self {
            Self::Concatenation(_) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Self::RawFile(file) => file.discard(range),
            Self::CopyOnWrite(files) => files.discard(range),
        }
    }

    /// Makes this stretch read as zeros; its space may be given back if `unmap` says so.
    pub(super) fn write_zeroes(&self, range: Range, unmap: bool) -> io::Result<()> {
        match self {
            Self::Concatenation(_) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Self::RawFile(file) => file.write_zeroes(range, unmap),
            Self::CopyOnWrite(files) => files.write_zeroes(range),
        }
    }
}
