//! Files, one behind the other, none of them ever changed.

use std::fs::File;
use std::io;

use thiserror::Error;

use crate::block::backend::vectored;
use crate::parts::{self, ALIGNMENT_BYTES};
use crate::ring::buffers::Span;

/// One file of a concatenation.
#[derive(Debug)]
pub struct Part {
    /// The file, open for reading.
    pub file: File,
    /// How many of its bytes belong to the disk. Zeros fill them up to a multiple of 4 KiB, where the next part begins.
    pub bytes: u64,
}

/// A read-only disk.
#[derive(Debug)]
pub struct Concatenation {
    files: Vec<File>,
    layout: Layout,
}

/// Why files do not make a disk.
#[derive(Debug, Error)]
pub enum ConcatenationError {
    /// A file's size cannot be read.
    #[error("cannot read the size of part {index}")]
    Size {
        /// The part's place, from 0.
        index: usize,
        /// The system's answer.
        source: io::Error,
    },
    /// A file ends before the block in which its part ends.
    #[error("part {index} has {found} bytes instead of {expected}")]
    TooShort {
        /// The part's place, from 0.
        index: usize,
        /// What was promised.
        expected: u64,
        /// What there is.
        found: u64,
    },
    /// The sum of all parts is not a number.
    #[error("the parts are larger together than a disk can be")]
    TooLarge,
}

impl Concatenation {
    /// A disk of these files, in this order.
    ///
    /// A file may end inside the last block of its part, which is then filled up with zeros; so a caller may give
    /// lengths that are rounded up.
    ///
    /// # Errors
    ///
    /// When a file is shorter than its part, or its size cannot be read.
    pub fn new(parts: Vec<Part>) -> Result<Self, ConcatenationError> {
        let mut layout = Layout::default();
        for (index, part) in parts.iter().enumerate() {
            let found = part
                .file
                .metadata()
                .map_err(|source| ConcatenationError::Size { index, source })?
                .len();
            if part.bytes.saturating_sub(found) >= ALIGNMENT_BYTES {
                return Err(ConcatenationError::TooShort {
                    index,
                    expected: part.bytes,
                    found,
                });
            }
            layout.append(part.bytes.min(found), part.bytes)?;
        }
        Ok(Self {
            files: parts.into_iter().map(|part| part.file).collect(),
            layout,
        })
    }

    pub(super) fn capacity_bytes(&self) -> u64 {
        self.layout.capacity_bytes
    }

    pub(super) fn read_at(&self, offset: u64, into: &Span<'_>) -> io::Result<()> {
        let mut rest = into.clone();
        let mut at = offset;
        while !rest.is_empty() {
            let (source, bytes) = self.layout.find(at).ok_or(io::ErrorKind::UnexpectedEof)?;
            let (now, later) = rest.split_at(usize::try_from(bytes).unwrap_or(usize::MAX));
            match source {
                Source::File { index, offset } => vectored::read_exact_at(&self.files[index], offset, &now)?,
                Source::Zeros => now.clear(),
            }
            at += now.len() as u64;
            rest = later;
        }
        Ok(())
    }
}

/// Where each part lies; knows no file.
#[derive(Debug, Default)]
struct Layout {
    extents: Vec<Extent>,
    capacity_bytes: u64,
}

#[derive(Clone, Copy, Debug)]
struct Extent {
    start: u64,
    /// The bytes that come from the file; up to the next extent there are zeros.
    stored: u64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Source {
    File { index: usize, offset: u64 },
    Zeros,
}

impl Layout {
    fn append(&mut self, stored: u64, bytes: u64) -> Result<(), ConcatenationError> {
        let end = parts::end(self.capacity_bytes, bytes).ok_or(ConcatenationError::TooLarge)?;
        self.extents.push(Extent {
            start: self.capacity_bytes,
            stored,
        });
        self.capacity_bytes = end;
        Ok(())
    }

    /// What lies at `at`, and how many bytes of it; `None` behind the end.
    fn find(&self, at: u64) -> Option<(Source, u64)> {
        // Empty parts begin where the next one does: the last of them is the one that has something there.
        let index = self
            .extents
            .partition_point(|extent| extent.start <= at)
            .checked_sub(1)?;
        let extent = self.extents[index];
        let end = self
            .extents
            .get(index + 1)
            .map_or(self.capacity_bytes, |next| next.start);
        let inside = at - extent.start;
        if inside < extent.stored {
            return Some((Source::File { index, offset: inside }, extent.stored - inside));
        }
        (at < end).then(|| (Source::Zeros, end - at))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn parts_begin_at_blocks() {
        let parts = vec![
            Part {
                file: file(&[1; 10]),
                bytes: 10,
            },
            Part {
                file: file(&[2; 5000]),
                bytes: 5000,
            },
        ];
        let disk = Concatenation::new(parts).unwrap();
        assert_eq!(disk.capacity_bytes(), 3 * 4096);
        assert_eq!(disk.layout.find(9), Some((Source::File { index: 0, offset: 9 }, 1)));
        assert_eq!(disk.layout.find(10), Some((Source::Zeros, 4086)));
        assert_eq!(
            disk.layout.find(4096),
            Some((Source::File { index: 1, offset: 0 }, 5000))
        );
        assert_eq!(disk.layout.find(3 * 4096), None);
    }

    /// What lies at a byte of parts that store and have so many bytes, found by going through them all.
    fn looked_for(parts: &[(u64, u64)], at: u64) -> Option<(Source, u64)> {
        let mut start = 0;
        for (index, &(stored, bytes)) in parts.iter().enumerate() {
            let end = start + bytes.next_multiple_of(4096);
            if at < end {
                let offset = at - start;
                return Some(if offset < stored {
                    (Source::File { index, offset }, stored - offset)
                } else {
                    (Source::Zeros, end - at)
                });
            }
            start = end;
        }
        None
    }

    #[test]
    fn every_place_in_every_small_disk_is_found() {
        const SIZES: [(u64, u64); 8] = [
            (0, 0),
            (0, 1),
            (1, 1),
            (1, 4096),
            (4095, 4096),
            (4096, 4096),
            (4096, 4097),
            (8191, 8192),
        ];
        for numbers in 0..SIZES.len().pow(4) {
            let parts = [0, 1, 2, 3].map(|place| SIZES[numbers / SIZES.len().pow(place) % SIZES.len()]);
            let mut layout = Layout::default();
            parts
                .iter()
                .for_each(|&(stored, bytes)| layout.append(stored, bytes).unwrap());
            let blocks = (0..=layout.capacity_bytes + 4096).step_by(4096);
            for at in blocks.flat_map(|block| [block.saturating_sub(1), block, block + 1]) {
                assert_eq!(layout.find(at), looked_for(&parts, at), "{at} of {parts:?}");
            }
        }
    }

    #[test]
    fn a_length_may_be_rounded_up_to_a_block_and_no_further() {
        let disk = Concatenation::new(vec![Part {
            file: file(&[1; 10]),
            bytes: 4096,
        }])
        .unwrap();
        assert_eq!(disk.layout.find(10), Some((Source::Zeros, 4086)));
        let error = Concatenation::new(vec![Part {
            file: file(&[1; 10]),
            bytes: 4106,
        }])
        .unwrap_err();
        assert_eq!(error.to_string(), "part 0 has 10 bytes instead of 4106");
    }

    #[test]
    fn sizes_that_do_not_add_up_are_refused() {
        let mut layout = Layout::default();
        layout.append(0, u64::MAX - 8191).unwrap();
        assert!(matches!(layout.append(0, 8192), Err(ConcatenationError::TooLarge)));
        assert!(matches!(layout.append(0, u64::MAX), Err(ConcatenationError::TooLarge)));
    }

    proptest! {
        #[test]
        fn every_byte_has_one_source(sizes in prop::collection::vec(0u64..10_000, 0..6)) {
            let mut layout = Layout::default();
            let mut expected = Vec::new();
            for (index, &size) in sizes.iter().enumerate() {
                layout.append(size, size).unwrap();
                expected.extend((0..size).map(|offset| Source::File { index, offset }));
                expected.resize(expected.len().next_multiple_of(4096), Source::Zeros);
            }
            prop_assert_eq!(layout.capacity_bytes, expected.len() as u64);
            let mut at = 0;
            while let Some((source, bytes)) = layout.find(at) {
                prop_assert!(bytes > 0);
                for step in [0, bytes - 1] {
                    let expected = expected[usize::try_from(at + step).unwrap()];
                    match source {
                        Source::File { index, offset } => {
                            prop_assert_eq!(expected, Source::File { index, offset: offset + step });
                        }
                        Source::Zeros => prop_assert_eq!(expected, Source::Zeros),
                    }
                }
                at += bytes;
            }
            prop_assert_eq!(at, layout.capacity_bytes);
        }
    }
}
