//! One file that the guest may change: sector n of the disk is sector n of the file.

use std::fs::File;
use std::io;

use rustix::fs::FallocateFlags;
use thiserror::Error;

use crate::block::backend::{vectored, zeros};
use crate::block::request::{Range, SECTOR_BYTES};
use crate::ring::buffers::Span;

/// A writable disk.
#[derive(Debug)]
pub struct RawFile {
    file: File,
    capacity_bytes: u64,
}

/// Why a file cannot be a disk.
#[derive(Debug, Error)]
pub enum RawFileError {
    /// Its size cannot be read.
    #[error("cannot read the size of a disk's file")]
    Size {
        /// The system's answer.
        source: io::Error,
    },
    /// Its size is not a number of sectors.
    #[error("a disk of {bytes} bytes does not consist of {SECTOR_BYTES}-byte sectors")]
    Sectors {
        /// The file's size.
        bytes: u64,
    },
}

impl RawFile {
    /// A disk as large as the file is now.
    ///
    /// # Errors
    ///
    /// When the file's size cannot be read, or is not a number of sectors.
    pub fn new(file: File) -> Result<Self, RawFileError> {
        let bytes = file.metadata().map_err(|source| RawFileError::Size { source })?.len();
        if !bytes.is_multiple_of(SECTOR_BYTES) {
            return Err(RawFileError::Sectors { bytes });
        }
        Ok(Self {
            file,
            capacity_bytes: bytes,
        })
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.capacity_bytes
    }

    pub(super) fn read_at(&self, offset: u64, into: &Span<'_>) -> io::Result<()> {
        vectored::read_exact_at(&self.file, offset, into)
    }

    pub(super) fn write_at(&self, offset: u64, from: &Span<'_>) -> io::Result<()> {
        vectored::write_all_at(&self.file, offset, from)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    pub(super) fn discard(&self, range: Range) -> io::Result<()> {
        match zeros::allocate(&self.file, FallocateFlags::PUNCH_HOLE, range) {
            // A discard is a hint: a file system without holes keeps what it has.
            Err(rustix::io::Errno::OPNOTSUPP) => Ok(()),
            result => Ok(result?),
        }
    }

    pub(super) fn write_zeroes(&self, range: Range, unmap: bool) -> io::Result<()> {
        let how = if unmap {
            FallocateFlags::PUNCH_HOLE
        } else {
            FallocateFlags::ZERO_RANGE
        };
        match zeros::allocate(&self.file, how, range) {
            Err(rustix::io::Errno::OPNOTSUPP) => zeros::overwrite(&self.file, range),
            result => Ok(result?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    fn disk(blocks: u64) -> RawFile {
        let file = tempfile::tempfile().unwrap();
        for block in 0..blocks {
            file.write_all_at(&[7; 4096], block * 4096).unwrap();
        }
        RawFile::new(file).unwrap()
    }

    fn bytes(disk: &RawFile) -> Vec<u8> {
        let mut bytes = vec![1; usize::try_from(disk.capacity_bytes).unwrap()];
        disk.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn a_file_of_half_a_sector_is_no_disk() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(700).unwrap();
        assert!(matches!(RawFile::new(file), Err(RawFileError::Sectors { bytes: 700 })));
    }

    #[test]
    fn a_discard_gives_space_back_and_keeps_the_size() {
        let disk = disk(16);
        let before = disk.file.metadata().unwrap().blocks();
        disk.discard(Range {
            offset: 4096,
            bytes: 8 * 4096,
        })
        .unwrap();
        assert!(disk.file.metadata().unwrap().blocks() < before);
        assert_eq!(bytes(&disk).len(), 16 * 4096);
    }

    #[test]
    fn zeros_are_written_where_they_belong() {
        for unmap in [false, true] {
            let disk = disk(3);
            disk.write_zeroes(
                Range {
                    offset: 4096,
                    bytes: 4096,
                },
                unmap,
            )
            .unwrap();
            let bytes = bytes(&disk);
            assert!(bytes[4096..8192].iter().all(|&byte| byte == 0));
            assert!(bytes[..4096].iter().chain(&bytes[8192..]).all(|&byte| byte == 7));
        }
    }
}
