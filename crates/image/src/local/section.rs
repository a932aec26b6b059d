//! A part of a file as a reader of its own, so that several can be read at once.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The bytes `offset..offset + len_bytes` of a file. A file that ends before them ends with an error.
#[derive(Clone, Debug)]
pub struct Section {
    file: Arc<File>,
    position: u64,
    end: u64,
}

impl Section {
    /// Nothing is read yet. An end beyond what a file can have is cut.
    #[must_use]
    pub fn new(file: Arc<File>, offset: u64, len_bytes: u64) -> Self {
        Self {
            file,
            position: offset,
            end: offset.saturating_add(len_bytes),
        }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        self.end - self.position
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.len_bytes())
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self.file.read_at(&mut buffer[..wanted], self.position)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.position += count as u64;
                Ok(count)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(content: &[u8]) -> Arc<File> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Arc::new(file)
    }

    #[test]
    fn a_section_is_its_bytes_and_no_more() {
        let mut section = Section::new(file(b"abcdef"), 2, 3);
        assert_eq!(io::read_to_string(&mut section).unwrap(), "cde");
        assert_eq!(section.len_bytes(), 0);
    }

    #[test]
    fn a_section_beyond_the_files_end_is_an_error() {
        for (offset, len_bytes) in [(2, 5), (9, 1), (u64::MAX, 1)] {
            let section = Section::new(file(b"abcdef"), offset, len_bytes);
            assert_eq!(io::read_to_string(section).is_err(), offset != u64::MAX, "{offset}");
        }
    }
}
