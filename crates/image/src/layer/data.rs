//! The data file of a layer in the making: contents block by block, identical ones once.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::{BLOCK_BYTES, Extent, SLOT_BYTES};

/// What is written at once, and the largest contents that are judged before they are written.
const BUFFER_BYTES: usize = 1 << 20;

/// Blocks that small files are packed into at a time: with one alone, what the next file leaves of it is lost.
const PACKING_MAX: usize = 8;

/// A block, and a slot, as lengths in memory.
const BLOCK_LEN: usize = 4096;
const SLOT_LEN: usize = 32;
const _: () = assert!(BLOCK_LEN as u64 == BLOCK_BYTES && SLOT_LEN as u64 == SLOT_BYTES);

/// The start of a SHA-256: enough that nobody finds two files with one digest, and half the memory.
type ContentDigest = [u8; 16];

/// The most contents that later ones are compared with: bounds memory to some ten megabytes.
const KNOWN_MAX: usize = 400_000;

/// Writes a layer's data file, from an empty file open for reading and writing.
///
/// Most contents are alone with their size, so nothing is hashed until a second one of the same size comes; only then
/// is the first read back. What is found to be there already is cut off again.
pub(super) struct DataFile<'file> {
    file: &'file File,
    /// Bytes in the file; `buffer` comes behind them.
    flushed: u64,
    buffer: Vec<u8>,
    /// Where the first contents of each size begin, and whether they are among `by_digest`.
    by_size: HashMap<u64, First>,
    /// Where contents begin; a digest tells their size, too.
    by_digest: HashMap<ContentDigest, u64>,
    /// The blocks that small files are packed into.
    packing: Vec<Packing>,
}

/// A block that has room for small files.
struct Packing {
    /// Where it lies in the file.
    start: u64,
    /// Its bytes so far.
    block: Vec<u8>,
}

/// The first contents of a size.
#[derive(Clone, Copy)]
enum First {
    /// They begin at this block, and their digest is not known.
    Unhashed(u64),
    /// They are among those with a digest.
    Hashed,
}

/// Contents that are being written.
pub(super) struct Contents {
    start: u64,
    bytes: u64,
    /// Running digest, if there were contents of this size before.
    hasher: Option<Sha256>,
}

impl<'file> DataFile<'file> {
    pub fn new(file: &'file File) -> Self {
        Self {
            file,
            flushed: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            by_size: HashMap::new(),
            by_digest: HashMap::new(),
            packing: Vec::with_capacity(PACKING_MAX),
        }
    }

    /// Length so far.
    pub fn bytes(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Starts contents of `bytes` bytes. Exactly so many must be appended before [`Self::finish_contents`].
    pub fn start_contents(&mut self, bytes: u64) -> io::Result<Contents> {
        let hasher = match self.by_size.get(&bytes).copied() {
            None => None,
            Some(First::Hashed) => Some(Sha256::new()),
            Some(First::Unhashed(block)) => {
                let digest = self.hash_back(Extent { block, bytes })?;
                self.remember(digest, block);
                self.by_size.insert(bytes, First::Hashed);
                Some(Sha256::new())
            }
        };
        Ok(Contents {
            start: self.bytes(),
            bytes,
            hasher,
        })
    }

    /// Appends up to `bytes` bytes that `fill` writes; answers how many it asked for.
    pub fn append_with<E: From<io::Error>>(
        &mut self,
        contents: &mut Contents,
        bytes: u64,
        fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<u64, E> {
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        let room = BUFFER_BYTES - self.buffer.len();
        let step = usize::try_from(bytes).map_or(room, |bytes| bytes.min(room));
        let start = self.buffer.len();
        self.buffer.resize(start + step, 0);
        fill(&mut self.buffer[start..])?;
        if let Some(hasher) = &mut contents.hasher {
            hasher.update(&self.buffer[start..]);
        }
        Ok(step as u64)
    }

    /// Appends zeros. A long run becomes a hole in the file.
    pub fn append_zeros(&mut self, contents: &mut Contents, bytes: u64) -> io::Result<()> {
        let mut left = bytes;
        if bytes > BUFFER_BYTES as u64 {
            self.flush()?;
            if let Some(hasher) = &mut contents.hasher {
                hash_zeros(hasher, bytes);
            }
            self.flushed += bytes;
            left = 0;
        }
        while left > 0 {
            left -= self.append_with(contents, left, |zeros| {
                zeros.fill(0);
                Ok::<_, io::Error>(())
            })?;
        }
        Ok(())
    }

    /// Ends contents: answers where they are, which is where they have been before if they are not new.
    pub fn finish_contents(&mut self, contents: Contents) -> io::Result<Extent> {
        let Contents { start, bytes, hasher } = contents;
        let extent = Extent {
            block: start / BLOCK_BYTES,
            bytes,
        };
        if bytes == 0 {
            return Ok(Extent::default());
        }
        match hasher {
            None if self.by_size.len() < KNOWN_MAX => {
                self.by_size.insert(bytes, First::Unhashed(extent.block));
            }
            None => {}
            Some(hasher) => {
                let digest = shortened(hasher);
                if let Some(block) = self.by_digest.get(&digest).copied() {
                    self.cut_back(start)?;
                    return Ok(Extent { block, bytes });
                }
                self.remember(digest, extent.block);
            }
        }
        let padding = self.bytes().next_multiple_of(BLOCK_BYTES) - self.bytes();
        self.buffer
            .resize(self.buffer.len() + usize::try_from(padding).unwrap_or_default(), 0);
        Ok(extent)
    }

    /// Puts at most a block's bytes into a block that others are in, too: of those with room, the fullest. Answers the slot
    /// where they begin.
    pub fn pack(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let fitting = |packing: &&mut Packing| packing.next_slot() + bytes.len() <= BLOCK_LEN;
        let fullest = self
            .packing
            .iter_mut()
            .filter(fitting)
            .max_by_key(|packing| packing.block.len());
        let Some(packing) = fullest else {
            let mut packing = self.start_packing()?;
            let slot = packing.push(bytes);
            self.packing.push(packing);
            return Ok(slot);
        };
        Ok(packing.push(bytes))
    }

    /// One more block to pack into, instead of the fullest if there are too many.
    fn start_packing(&mut self) -> io::Result<Packing> {
        if self.packing.len() == PACKING_MAX {
            let fullest = (0..PACKING_MAX).max_by_key(|at| self.packing[*at].block.len());
            let fullest = self.packing.swap_remove(fullest.unwrap_or_default());
            self.end_packing(&fullest)?;
        }
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        // Its place is taken now, since other contents come between the files in it.
        let start = self.bytes();
        self.buffer.resize(self.buffer.len() + BLOCK_LEN, 0);
        let block = Vec::with_capacity(BLOCK_LEN);
        Ok(Packing { start, block })
    }

    /// Writes a packed block to its place.
    fn end_packing(&mut self, packing: &Packing) -> io::Result<()> {
        let Packing { start, block } = packing;
        match start.checked_sub(self.flushed).map(usize::try_from) {
            Some(Ok(at)) => self.buffer[at..at + block.len()].copy_from_slice(block),
            _ => self.file.write_all_at(block, *start)?,
        }
        Ok(())
    }

    /// Writes out what is buffered; answers the file's length in blocks.
    pub fn finish(mut self) -> io::Result<u64> {
        for packing in std::mem::take(&mut self.packing) {
            self.end_packing(&packing)?;
        }
        self.flush()?;
        // A hole at the end has to be told.
        self.file.set_len(self.flushed)?;
        Ok(self.flushed / BLOCK_BYTES)
    }

    fn remember(&mut self, digest: ContentDigest, block: u64) {
        if self.by_digest.len() < KNOWN_MAX {
            self.by_digest.insert(digest, block);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all_at(&self.buffer, self.flushed)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn cut_back(&mut self, bytes: u64) -> io::Result<()> {
        match bytes.checked_sub(self.flushed).map(usize::try_from) {
            Some(Ok(kept)) => self.buffer.truncate(kept),
            _ => {
                self.buffer.clear();
                self.file.set_len(bytes)?;
                self.flushed = bytes;
            }
        }
        Ok(())
    }

    /// The digest of contents that were written before.
    fn hash_back(&mut self, extent: Extent) -> io::Result<ContentDigest> {
        let start = extent.block * BLOCK_BYTES;
        if let Some(from) = start.checked_sub(self.flushed)
            && let (Ok(from), Ok(bytes)) = (usize::try_from(from), usize::try_from(extent.bytes))
        {
            return Ok(shortened(Sha256::new_with_prefix(&self.buffer[from..from + bytes])));
        }
        self.flush()?;
        // The file ends in a hole if the last contents did.
        self.file.set_len(self.flushed)?;
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; BUFFER_BYTES.min(usize::try_from(extent.bytes).unwrap_or(BUFFER_BYTES))];
        let mut done = 0;
        while done < extent.bytes {
            let step = usize::try_from(extent.bytes - done).map_or(chunk.len(), |left| left.min(chunk.len()));
            self.file.read_exact_at(&mut chunk[..step], start + done)?;
            hasher.update(&chunk[..step]);
            done += step as u64;
        }
        Ok(shortened(hasher))
    }
}

impl Packing {
    /// Where the next file can begin.
    fn next_slot(&self) -> usize {
        self.block.len().next_multiple_of(SLOT_LEN)
    }

    /// Adds a file, for which there must be room. Answers its slot in the data file.
    fn push(&mut self, bytes: &[u8]) -> u64 {
        self.block.resize(self.next_slot(), 0);
        let slot = (self.start + self.block.len() as u64) / SLOT_BYTES;
        self.block.extend_from_slice(bytes);
        slot
    }
}

fn shortened(hasher: Sha256) -> ContentDigest {
    let mut digest = ContentDigest::default();
    let len = digest.len();
    digest.copy_from_slice(&hasher.finalize()[..len]);
    digest
}

fn hash_zeros(hasher: &mut Sha256, bytes: u64) {
    let zeros = [0; 16 << 10];
    let mut left = bytes;
    while left > 0 {
        let step = usize::try_from(left).map_or(zeros.len(), |left| left.min(zeros.len()));
        hasher.update(&zeros[..step]);
        left -= step as u64;
    }
}

#[cfg(test)]
mod tests;
