//! A log file: entries one behind the other, the first a [`Heading`]. A container's output is a row of them in a directory, by number.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use super::entry::{self, Entry, HEADER_LEN, Kind, Parsed};
use super::positions::Positions;

/// The version of the files' format.
pub const VERSION: u32 = 1;

/// What is read at once, in bytes.
const READ_LEN: usize = 32 << 10;

/// Whose output a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The task's id.
    pub task: String,
    /// The container's name.
    pub container: String,
    /// The log group.
    pub group: String,
    /// The log stream.
    pub stream: String,
    /// When the container's log was begun, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// What a file begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heading {
    /// [`VERSION`].
    pub version: u32,
    /// Whose output this is.
    pub origin: Origin,
    /// What is stored in the files before it.
    pub positions: Positions,
}

/// The path of the file with this number.
#[must_use]
pub fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}.log"))
}

/// The numbers of the files that there are, ascending; none where there is no directory.
///
/// # Errors
/// Where the directory cannot be read.
pub fn numbers(directory: &Path) -> io::Result<Vec<u64>> {
    let found = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        found => found?,
    };
    let mut numbers = Vec::new();
    for file in found {
        let name = file?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// When the log in `directory` was written last, in milliseconds since the Unix epoch; none where there is none.
///
/// # Errors
/// Where its files cannot be looked at.
pub fn written_ms(directory: &Path) -> io::Result<Option<u64>> {
    let Some(last) = numbers(directory)?.pop() else {
        return Ok(None);
    };
    let modified = fs::metadata(path(directory, last))?.modified()?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Some(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

/// Bytes of the log in `directory`.
///
/// # Errors
/// Where its files cannot be looked at.
pub fn stored_bytes(directory: &Path) -> io::Result<u64> {
    let numbers = numbers(directory)?.into_iter();
    numbers
        .map(|number| Ok(fs::metadata(path(directory, number))?.len()))
        .sum()
}

/// The heading of the oldest file in `directory`; none where there is none.
///
/// # Errors
/// Where it cannot be read.
pub fn first_heading(directory: &Path) -> io::Result<Option<Heading>> {
    let Some(first) = numbers(directory)?.first().copied() else {
        return Ok(None);
    };
    match SegmentReader::open(directory, first)? {
        Some(mut file) => file.heading(),
        None => Ok(None),
    }
}

/// The names of the directories in `directory`; none where there is no such.
///
/// # Errors
/// Where it cannot be read.
pub fn directories(directory: &Path) -> io::Result<Vec<String>> {
    let found = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        found => found?,
    };
    let mut names = Vec::new();
    for entry in found {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

/// Reads one file from its beginning, also while it is written.
#[derive(Debug)]
pub struct SegmentReader {
    file: File,
    buffer: Vec<u8>,
    /// Where in the buffer the next entry begins.
    start: usize,
    /// Where in the file.
    offset: u64,
}

impl SegmentReader {
    /// Opens a file; none where it is gone.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn open(directory: &Path, number: u64) -> io::Result<Option<Self>> {
        match File::open(path(directory, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => Ok(Some(Self {
                file: file?,
                buffer: vec![],
                start: 0,
                offset: 0,
            })),
        }
    }

    /// Where the next entry begins: after the last that was read.
    #[must_use]
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry and where it begins; none at the end, after which there may be more later.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub fn next_entry(&mut self) -> io::Result<Option<(u64, Entry<'_>)>> {
        let Some((head, len)) = self.whole()? else {
            // What was read may have been torn: it is read again when there is more.
            self.buffer.clear();
            self.start = 0;
            return Ok(None);
        };
        let at = self.offset;
        let content = &self.buffer[self.start + HEADER_LEN..self.start + len];
        self.start += len;
        self.offset += len as u64;
        Ok(Some((at, Entry { content, ..head })))
    }

    /// Has the next entry in the buffer: what it is and how long.
    fn whole(&mut self) -> io::Result<Option<(Entry<'static>, usize)>> {
        let mut wanted = HEADER_LEN;
        while self.fill(wanted)? {
            match entry::parse(&self.buffer[self.start..]) {
                Parsed::Entry(entry) => return Ok(Some((entry.head(), entry.file_len()))),
                Parsed::Incomplete(len) => wanted = len,
                Parsed::Invalid => break,
            }
        }
        Ok(None)
    }

    /// The file's first entry.
    ///
    /// # Errors
    /// Where the file cannot be read, or was written by a newer version.
    pub fn heading(&mut self) -> io::Result<Option<Heading>> {
        let Some((_, first)) = self.next_entry()? else {
            return Ok(None);
        };
        if first.kind != Kind::Heading {
            return Ok(None);
        }
        let heading: Heading =
            serde_json::from_slice(first.content).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Some(heading))
    }

    /// Has at least `wanted` bytes in the buffer, if there are so many.
    fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.buffer.len() - self.start >= wanted {
            return Ok(true);
        }
        self.buffer.drain(..self.start);
        self.start = 0;
        while self.buffer.len() < wanted {
            let old = self.buffer.len();
            self.buffer.resize(wanted.max(old + READ_LEN), 0);
            let read = self.file.read_at(&mut self.buffer[old..], self.offset + old as u64);
            self.buffer.truncate(old + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
