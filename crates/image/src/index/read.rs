//! An index to read: checked once as a whole, then from front to back, or one file at a time.

use std::io;

use sha2::{Digest, Sha256};

use super::decode::{self, Cursor, IndexError};
use super::window::{ReadAt, Window};
use super::{DIGEST_BYTES, MAGIC, TRAILER_BYTES};
use crate::layer::{Change, Entry, Inode};
use crate::limits::Limits;

/// Read size for the digest.
const DIGEST_BUFFER_BYTES: usize = 64 << 10;

/// The number of entries that an index says it has, `len_bytes` long and of our own making; nothing else of it is looked at.
///
/// # Errors
/// If it cannot be read, or is too short.
pub fn entries_len(source: &dyn ReadAt, len_bytes: u64) -> io::Result<u64> {
    let at = len_bytes
        .checked_sub(TRAILER_BYTES)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut number = [0; size_of::<u64>()];
    number.copy_from_slice(Window::new(source).get(at, size_of::<u64>())?);
    Ok(u64::from_le_bytes(number))
}

/// Where in an index something stands, in bytes from its start.
pub type Place = u64;

/// The index of a converted layer, somewhere on disk.
pub struct Index {
    source: Box<dyn ReadAt>,
    entries: u64,
    entries_end: u64,
    data_blocks: u64,
    takes_away: bool,
    limits: Limits,
}

impl Index {
    /// Reads all of what [`super::Writer`] wrote, `len_bytes` long, and checks everything that [`crate::layer::convert()`] promises.
    ///
    /// # Errors
    /// If it is anything else, or cannot be read.
    pub fn open(source: Box<dyn ReadAt>, len_bytes: u64, limits: &Limits) -> Result<Self, IndexError> {
        let mut window = Window::new(&*source);
        if len_bytes < MAGIC.len() as u64 || window.get(0, MAGIC.len())? != MAGIC {
            return Err(IndexError::Magic);
        }
        let entries_end = len_bytes
            .checked_sub(TRAILER_BYTES)
            .filter(|end| *end >= MAGIC.len() as u64)
            .ok_or(IndexError::Digest)?;
        check_digest(&*source, len_bytes - DIGEST_BYTES as u64)?;
        let mut trailer = Cursor::new(&mut window, entries_end, len_bytes);
        let (entries, data_blocks) = (trailer.u64()?, trailer.u64()?);
        let mut index = Self {
            source,
            entries,
            entries_end,
            data_blocks,
            takes_away: false,
            limits: limits.clone(),
        };
        index.takes_away = index.check()?;
        Ok(index)
    }

    /// Length of the layer's data file in blocks.
    #[must_use]
    pub fn data_blocks(&self) -> u64 {
        self.data_blocks
    }

    /// Whether there is anything that takes away what lower layers have.
    #[must_use]
    pub fn takes_away(&self) -> bool {
        self.takes_away
    }

    /// What the layer does, in the order of the archive.
    #[must_use]
    pub fn entries(&self) -> Entries<'_> {
        Entries {
            index: self,
            window: Window::new(&*self.source),
            position: MAGIC.len() as u64,
            previous: Box::default(),
        }
    }

    /// Single files, in any order.
    #[must_use]
    pub fn records(&self) -> Records<'_> {
        Records {
            index: self,
            window: Window::new(&*self.source),
        }
    }

    fn check(&self) -> Result<bool, IndexError> {
        let (mut count, mut takes_away) = (0_u64, false);
        let mut entries = self.entries();
        while let Some(entry) = entries.next() {
            takes_away |= matches!(entry?.0.change, Change::Whiteout | Change::Opaque);
            count += 1;
            if count > self.limits.entries as u64 {
                return Err(IndexError::Malformed {
                    position: entries.position,
                });
            }
        }
        if count == self.entries {
            Ok(takes_away)
        } else {
            Err(IndexError::Malformed {
                position: self.entries_end,
            })
        }
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Index of {} entries", self.entries)
    }
}

fn check_digest(source: &dyn ReadAt, body_bytes: u64) -> Result<(), IndexError> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; DIGEST_BUFFER_BYTES];
    let mut position = 0;
    while position < body_bytes {
        let step = usize::try_from(body_bytes - position).map_or(buffer.len(), |left| left.min(buffer.len()));
        match source.read_at(&mut buffer[..step], position) {
            Ok(0) => return Err(IndexError::Digest),
            Ok(count) => {
                digest.update(&buffer[..count]);
                position += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut window = Window::new(source);
    if window.get(body_bytes, DIGEST_BYTES)? == digest.finalize().as_slice() {
        Ok(())
    } else {
        Err(IndexError::Digest)
    }
}

/// The entries of an index from front to back, each with the place that [`Records::inode`] takes.
pub struct Entries<'a> {
    index: &'a Index,
    window: Window<'a>,
    position: u64,
    previous: Box<[u8]>,
}

impl Iterator for Entries<'_> {
    type Item = Result<(Entry, Place), IndexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.index.entries_end {
            return None;
        }
        let mut cursor = Cursor::new(&mut self.window, self.position, self.index.entries_end);
        let read = decode::entry(&mut cursor, &self.previous, self.index.data_blocks, &self.index.limits);
        self.position = cursor.position();
        match read {
            Ok((entry, place)) => {
                self.previous.clone_from(&entry.path);
                Some(Ok((entry, place)))
            }
            Err(error) => {
                self.position = self.index.entries_end;
                Some(Err(error))
            }
        }
    }
}

/// The files of an index by their places.
pub struct Records<'a> {
    index: &'a Index,
    window: Window<'a>,
}

impl Records<'_> {
    /// The file at a place that [`Index::entries`] gave.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn inode(&mut self, place: Place) -> Result<Inode, IndexError> {
        let mut cursor = Cursor::new(&mut self.window, place, self.index.entries_end);
        match decode::change(&mut cursor, self.index.data_blocks, &self.index.limits)? {
            Change::Put(inode) => Ok(inode),
            Change::HardLink { .. } | Change::Whiteout | Change::Opaque => {
                Err(IndexError::Malformed { position: place })
            }
        }
    }
}
