//! One file that is never changed, and one that holds what the guest has written since.

use std::fs::File;
use std::io;
use std::ops;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use thiserror::Error;

use crate::block::backend::blocks::BlockSet;
use crate::block::backend::{vectored, zeros};
use crate::block::request::{Range, SECTOR_BYTES};
use crate::ring::buffers::Span;

/// What is taken from one file or the other as a whole, in bytes.
const BLOCK_BYTES: u64 = BUFFER_BYTES as u64;
/// Room for one of them.
const BUFFER_BYTES: usize = 4096;

/// A writable disk that begins as a copy of a file, which any number of disks may share.
///
/// Nobody but this disk knows which of its blocks were written, so it ends with the process that has it: nothing is ever
/// made durable, and a guest that asks for that is told that it is done.
#[derive(Debug)]
pub struct CopyOnWrite {
    base: File,
    /// Block n of the disk is block n of this file, if it is in `stored`. All other bytes in here mean nothing.
    written: File,
    capacity_bytes: u64,
    /// The blocks that are in `written`.
    // It has to outlive the worker, which alone uses it: a driver that sets the disk up anew finds what was written. There
    // is one worker at a time, so nobody ever waits.
    stored: Mutex<BlockSet>,
}

/// Why files do not make a disk.
#[derive(Debug, Error)]
pub enum CopyOnWriteError {
    /// The size of the file that is never changed cannot be read.
    #[error("cannot read the size of the file under a disk")]
    Size {
        /// The system's answer.
        source: io::Error,
    },
    /// That size is not a number of sectors.
    #[error("a disk over {bytes} bytes does not consist of {SECTOR_BYTES}-byte sectors")]
    Sectors {
        /// The file's size.
        bytes: u64,
    },
}

impl CopyOnWrite {
    /// A disk as large as `base` is now, and with the same contents.
    ///
    /// `base` is open for reading. `written` is an empty file, open for both, that nobody else uses: it becomes as large as
    /// the disk at most, and should go away with its last descriptor. Neither is touched before the guest does something.
    ///
    /// # Errors
    ///
    /// When the size of `base` cannot be read, or is not a number of sectors.
    pub fn new(base: File, written: File) -> Result<Self, CopyOnWriteError> {
        let bytes = base
            .metadata()
            .map_err(|source| CopyOnWriteError::Size { source })?
            .len();
        if !bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(CopyOnWriteError::Sectors { bytes });
        }
        Ok(Self {
            base,
            written,
            capacity_bytes: bytes,
            stored: Mutex::default(),
        })
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    pub(super) fn read_at(&self, offset: u64, into: &Span<'_>) -> io::Result<()> {
        let stored = self.stored();
        let mut rest = into.clone();
        let mut at = offset;
        while !rest.is_empty() {
            let run = stored.run(blocks(Range {
                offset: at,
                bytes: rest.len() as u64,
            }));
            let bytes = usize::try_from(run.end * BLOCK_BYTES - at).unwrap_or(usize::MAX);
            let (now, later) = rest.split_at(bytes);
            let file = if run.inside { &self.written } else { &self.base };
            vectored::read_exact_at(file, at, &now)?;
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    pub(super) fn write_at(&self, offset: u64, from: &Span<'_>) -> io::Result<()> {
        let range = Range {
            offset,
            bytes: from.len() as u64,
        };
        self.store(range, || vectored::write_all_at(&self.written, offset, from))
    }

    pub(super) fn discard(&self, range: Range) -> io::Result<()> {
        match self.store(range, || self.punch(range)) {
            // A discard is a hint: without holes the disk keeps what it has.
            Err(error) if is_unsupported(&error) => Ok(()),
            result => result,
        }
    }

    /// Gives back the space of what becomes zero, whether the guest wants that or not: there is no space set aside for
    /// the rest of the disk either.
    pub(super) fn write_zeroes(&self, range: Range) -> io::Result<()> {
        self.store(range, || match self.punch(range) {
            Err(error) if is_unsupported(&error) => zeros::overwrite(&self.written, range),
            result => result,
        })
    }

    /// Has `write` put into `written` what belongs to `range`; afterwards the blocks that `range` touches are read there.
    fn store(&self, range: Range, write: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        if range.bytes == 0 {
            return Ok(());
        }
        let mut stored = self.stored();
        let blocks = blocks(range);
        if !stored.contains(blocks.start) {
            self.copy_up(blocks.start * BLOCK_BYTES..range.offset)?;
        }
        if !stored.contains(blocks.end - 1) {
            // The disk may end inside its last block.
            let end = (blocks.end * BLOCK_BYTES).min(self.capacity_bytes);
            self.copy_up(range.offset + range.bytes..end)?;
        }
        write()?;
        // Last: until all of a block is in the file, it is read where it was.
        stored.insert(blocks);
        Ok(())
    }

    /// Copies less than a block from one file to the other.
    fn copy_up(&self, bytes: ops::Range<u64>) -> io::Result<()> {
        let mut buffer = [0; BUFFER_BYTES];
        let count = usize::try_from(bytes.end - bytes.start).map_err(|_| io::ErrorKind::InvalidInput)?;
        let buffer = buffer.get_mut(..count).ok_or(io::ErrorKind::InvalidInput)?;
        self.base.read_exact_at(buffer, bytes.start)?;
        self.written.write_all_at(buffer, bytes.start)
    }

    fn punch(&self, range: Range) -> io::Result<()> {
        zeros::allocate(&self.written, FallocateFlags::PUNCH_HOLE, range)?;
        // Up to here the file ended behind the last block that was written. It has to have bytes, to be read as zeros.
        let end = range.offset + range.bytes;
        if self.written.metadata()?.len() < end {
            self.written.set_len(end)?;
        }
        Ok(())
    }

    fn stored(&self) -> MutexGuard<'_, BlockSet> {
        // A block is put in after it was stored, so a panic cannot have left one in there that is not in the file.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The blocks that a stretch touches.
fn blocks(range: Range) -> ops::Range<u64> {
    range.offset / BLOCK_BYTES..(range.offset + range.bytes).div_ceil(BLOCK_BYTES)
}

fn is_unsupported(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::OPNOTSUPP)
}
