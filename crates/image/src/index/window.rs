//! A part of a long file in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is read at once: most entries are below a hundred bytes, and their neighbours are wanted next.
const WINDOW_BYTES: usize = 16 << 10;

/// Bytes that can be read at any place, by several at once.
pub trait ReadAt: Send + Sync {
    /// Fills as much of `buffer` as there is at `offset`; answers how much.
    ///
    /// # Errors
    /// If reading fails.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let count = buffer.len().min(self.len() - start);
        buffer[..count].copy_from_slice(&self[start..start + count]);
        Ok(count)
    }
}

/// Some kilobytes of a file, and whichever others are asked for.
pub(super) struct Window<'a> {
    source: &'a dyn ReadAt,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub fn new(source: &'a dyn ReadAt) -> Self {
        Self {
            source,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// `count` bytes from `position` on.
    pub fn get(&mut self, position: u64, count: usize) -> io::Result<&[u8]> {
        let inside = |start: u64, len: usize| {
            let from = usize::try_from(position.checked_sub(start)?).ok()?;
            (from.checked_add(count)? <= len).then_some(from)
        };
        if inside(self.start, self.bytes.len()).is_none() {
            self.load(position, count.max(WINDOW_BYTES))?;
        }
        let from = inside(self.start, self.bytes.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        Ok(&self.bytes[from..from + count])
    }

    fn load(&mut self, position: u64, count: usize) -> io::Result<()> {
        self.bytes.resize(count, 0);
        self.start = position;
        let mut filled = 0;
        while filled < count {
            match self.source.read_at(&mut self.bytes[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(())
    }
}
