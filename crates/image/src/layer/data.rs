//! The data file of a layer in the making: contents block by block, identical ones once.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use sha2::{Digest, Sha256};

use super::{BLOCK_BYTES, Extent};

/// What is written at once, and the largest contents that are judged before they are written.
const BUFFER_BYTES: usize = 1 << 20;

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

    /// Writes out what is buffered; answers the file's length in blocks.
    pub fn finish(mut self) -> io::Result<u64> {
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
mod tests {
    use super::*;
    use std::io::{Read, Seek};

    struct Sample {
        file: File,
        extents: Vec<Extent>,
    }

    /// Writes each of `contents`; then every one must read back from where it is said to be.
    fn check(contents: &[Vec<u8>]) -> Sample {
        let file = tempfile::tempfile().unwrap();
        let mut data = DataFile::new(&file);
        let mut extents = Vec::new();
        for bytes in contents {
            let mut rest = bytes.as_slice();
            let mut handle = data.start_contents(bytes.len() as u64).unwrap();
            while !rest.is_empty() {
                let left = rest.len() as u64;
                let step = data
                    .append_with(&mut handle, left, |buffer| rest.read_exact(buffer))
                    .unwrap();
                assert!(step > 0);
            }
            extents.push(data.finish_contents(handle).unwrap());
        }
        let blocks = data.finish().unwrap();
        assert_eq!(file.metadata().unwrap().len(), blocks * BLOCK_BYTES);
        for (bytes, extent) in contents.iter().zip(&extents) {
            let mut read = vec![0; bytes.len()];
            file.read_exact_at(&mut read, extent.block * BLOCK_BYTES).unwrap();
            assert_eq!(&read, bytes);
            assert_eq!(extent.bytes, bytes.len() as u64);
        }
        Sample { file, extents }
    }

    fn bytes(seed: u8, len: usize) -> Vec<u8> {
        (0..251).map(|byte: u8| byte ^ seed).cycle().take(len).collect()
    }

    #[test]
    fn each_file_starts_at_a_block_and_is_padded_with_zeros() {
        let mut sample = check(&[bytes(1, 5), bytes(2, 4096), bytes(3, 4097)]);
        let blocks: Vec<u64> = sample.extents.iter().map(|extent| extent.block).collect();
        assert_eq!(blocks, [0, 1, 2]);
        let mut all = Vec::new();
        sample.file.rewind().unwrap();
        sample.file.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 4 * 4096);
        assert!(all[5..4096].iter().chain(&all[8192 + 4097..]).all(|byte| *byte == 0));
    }

    #[test]
    fn identical_contents_are_stored_once() {
        for len in [1, 4096, 5000, BUFFER_BYTES - 1, BUFFER_BYTES, 3 * BUFFER_BYTES + 17] {
            let sample = check(&[
                bytes(1, len),
                bytes(2, len),
                bytes(1, len),
                bytes(2, len),
                bytes(1, len + 1),
            ]);
            assert_eq!(sample.extents[0], sample.extents[2]);
            assert_eq!(sample.extents[1], sample.extents[3]);
            let blocks = 2 * (len as u64).div_ceil(4096) + (len as u64 + 1).div_ceil(4096);
            assert_eq!(sample.file.metadata().unwrap().len(), blocks * 4096, "{len}");
        }
    }

    #[test]
    fn empty_files_take_nothing() {
        let sample = check(&[vec![], bytes(1, 1), vec![]]);
        assert_eq!(sample.extents[2], Extent { block: 0, bytes: 0 });
        assert_eq!(sample.extents[1].block, 0);
    }

    #[test]
    fn holes_equal_written_zeros() {
        let file = tempfile::tempfile().unwrap();
        let mut data = DataFile::new(&file);
        let size = 5 * BUFFER_BYTES as u64;
        let mut extents = Vec::new();
        for _ in 0..2 {
            let mut hole = data.start_contents(size).unwrap();
            data.append_zeros(&mut hole, size).unwrap();
            extents.push(data.finish_contents(hole).unwrap());
        }
        let mut written = data.start_contents(size).unwrap();
        for _ in 0..5 {
            data.append_zeros(&mut written, size / 5).unwrap();
        }
        extents.push(data.finish_contents(written).unwrap());
        assert_eq!(extents, [Extent { block: 0, bytes: size }; 3]);
        assert_eq!(data.finish().unwrap(), size / 4096);
        assert_eq!(file.metadata().unwrap().len(), size);
    }
}
