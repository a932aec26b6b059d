//! Writes a container's log: appends, goes on to the next file when one is full, removes the oldest, and takes up what an earlier host agent left.
//!
//! Nothing waits for the disk itself: what was written survives the end of this process, not that of the host, with which the microVM ends too.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::entry::{CONTENT_LEN_MAX, Entry, Kind, Source};
use super::lines::OpenLines;
use super::positions::Positions;
use super::segment::{self, Heading, Origin, SegmentReader, VERSION};

/// How much of a container's output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one file. A file may be longer by one entry.
    pub file_bytes_max: u64,
    /// How many files.
    pub files_max: u64,
}

impl Limits {
    /// Into so many files goes the output of a container.
    const FILES: u64 = 16;

    /// The smallest file that is worth one.
    const FILE_BYTES_MIN: u64 = 64 << 10;

    /// Limits that keep about `bytes_max` of a container.
    #[must_use]
    pub fn of(bytes_max: u64) -> Self {
        let file_bytes_max = (bytes_max / Self::FILES).max(Self::FILE_BYTES_MIN);
        Self {
            file_bytes_max,
            // The last file and one before it, or nothing would be left right after a change.
            files_max: (bytes_max / file_bytes_max).max(2),
        }
    }
}

/// Writes the log of one container.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    limits: Limits,
    origin: Origin,
    positions: Positions,
    /// The time of the last entry.
    time_ms: u64,
    current: Option<Current>,
}

/// The file that is written.
#[derive(Debug)]
struct Current {
    file: File,
    number: u64,
    /// The first file that there is.
    oldest: u64,
    /// Bytes of the file that are known to be whole.
    len: u64,
    /// Of these, what the file began with.
    first_len: u64,
}

/// A piece of a container's output.
#[derive(Clone, Copy, Debug)]
pub struct Output<'a> {
    /// Whose.
    pub process: u32,
    /// Which stream's.
    pub source: Source,
    /// How many bytes of the stream come before.
    pub offset: u64,
    /// The bytes; none are the stream's end.
    pub content: &'a [u8],
}

impl Writer {
    /// Takes up what there is in `directory`; makes nothing.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn open(directory: PathBuf, origin: Origin, limits: Limits) -> io::Result<Self> {
        let mut writer = Self {
            directory,
            limits,
            origin,
            positions: Positions::default(),
            time_ms: 0,
            current: None,
        };
        let numbers = segment::numbers(&writer.directory)?;
        for number in numbers.iter().rev().copied() {
            if writer.take_up(number, numbers[0])? {
                break;
            }
            // Its first entry is torn, so it holds nothing.
            fs::remove_file(segment::path(&writer.directory, number))?;
        }
        Ok(writer)
    }

    /// How much of each stream is stored.
    #[must_use]
    pub const fn positions(&self) -> &Positions {
        &self.positions
    }

    /// Whose output this is.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Stores a piece once, however often it comes; whether anything was stored.
    ///
    /// # Errors
    /// Where it could not be stored: nothing changed.
    pub fn write(&mut self, now_ms: u64, output: Output<'_>) -> io::Result<bool> {
        let Output {
            process,
            source,
            offset,
            content,
        } = output;
        let Some(stored) = self.positions.stored(process, source, offset, content.len()) else {
            return Ok(false);
        };
        let end = u64::try_from(content.len())
            .ok()
            .and_then(|len| offset.checked_add(len));
        let end = end.ok_or_else(|| io::Error::other("a stream of output has no such offset"))?;
        self.time_ms = self.time_ms.max(now_ms);
        let entry = |kind, offset, content| Entry {
            time_ms: self.time_ms,
            kind,
            process,
            offset,
            content,
        };
        if content.is_empty() {
            self.append(entry(Kind::End(source), offset, content))?;
            self.positions.end(process, source);
            return Ok(true);
        }
        let mut offset = offset.saturating_add(stored as u64);
        for part in content[stored..].chunks(CONTENT_LEN_MAX) {
            let time_ms = self.time_ms;
            let kind = Kind::Bytes(source);
            self.append(Entry {
                time_ms,
                kind,
                process,
                offset,
                content: part,
            })?;
            offset += part.len() as u64;
            self.positions.advance(process, source, offset);
        }
        debug_assert_eq!(offset, end, "all of it is stored");
        Ok(true)
    }

    /// Appends an entry, in a further file where this one is full.
    fn append(&mut self, entry: Entry<'_>) -> io::Result<()> {
        let len = entry.file_len() as u64;
        let fits =
            |current: &Current| current.len + len <= self.limits.file_bytes_max || current.len == current.first_len;
        let current = match self.current.take_if(|current| fits(current)) {
            Some(current) => current,
            None => self.next_file()?,
        };
        let current = self.current.insert(current);
        let mut bytes = Vec::with_capacity(entry.file_len());
        entry.append_to(&mut bytes);
        if let Err(error) = current.file.write_all_at(&bytes, current.len) {
            // What was written of it would be overwritten in any case.
            let _ = current.file.set_len(current.len);
            return Err(error);
        }
        current.len += len;
        Ok(())
    }

    /// Begins a file that can be read without those before it.
    fn next_file(&mut self) -> io::Result<Current> {
        let (number, mut oldest) = match &self.current {
            Some(current) => (current.number + 1, current.oldest),
            None => (1, 1),
        };
        let mut bytes = vec![];
        let heading = Heading {
            version: VERSION,
            origin: self.origin.clone(),
            positions: self.positions.clone(),
        };
        let heading = serde_json::to_vec(&heading).map_err(io::Error::other)?;
        let entry = |kind, process, content| Entry {
            time_ms: self.time_ms,
            kind,
            process,
            offset: 0,
            content,
        };
        entry(Kind::Heading, 0, heading.as_slice()).append_to(&mut bytes);
        if self.current.is_some() {
            for line in open_lines(&self.directory, number - 1)?.all() {
                entry(Kind::Carried(line.source), line.process, line.bytes.as_slice()).append_to(&mut bytes);
            }
        }
        // Room for the new one first: the disk may be full.
        while self.current.is_some() && number - oldest >= self.limits.files_max {
            match fs::remove_file(segment::path(&self.directory, oldest)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => oldest += 1,
            }
        }
        if let Some(current) = &mut self.current {
            current.oldest = oldest;
        }
        let file = create(&self.directory, number, &bytes)?;
        let len = bytes.len() as u64;
        Ok(Current {
            file,
            number,
            oldest,
            len,
            first_len: len,
        })
    }

    /// Goes on with the file that has this number, from its last whole entry; whether it holds anything.
    fn take_up(&mut self, number: u64, oldest: u64) -> io::Result<bool> {
        let Some(mut reader) = SegmentReader::open(&self.directory, number)? else {
            return Ok(false);
        };
        let Some(heading) = reader.heading()? else {
            return Ok(false);
        };
        self.positions = heading.positions;
        self.origin.created_ms = heading.origin.created_ms;
        let mut first_len = reader.offset();
        while let Some((at, entry)) = reader.next_entry()? {
            self.time_ms = self.time_ms.max(entry.time_ms);
            let end = entry.offset.saturating_add(entry.content.len() as u64);
            let next = at + entry.file_len() as u64;
            match entry.kind {
                Kind::Bytes(source) => self.positions.advance(entry.process, source, end),
                Kind::End(source) => self.positions.end(entry.process, source),
                Kind::Carried(_) => first_len = next,
                Kind::Heading => {}
            }
        }
        let file = OpenOptions::new()
            .write(true)
            .open(segment::path(&self.directory, number))?;
        let len = reader.offset();
        if file.metadata()?.len() > len {
            file.set_len(len)?;
        }
        self.current = Some(Current {
            file,
            number,
            oldest,
            len,
            first_len,
        });
        Ok(true)
    }
}

/// The lines that are open at the end of a file.
fn open_lines(directory: &Path, number: u64) -> io::Result<OpenLines> {
    let mut lines = OpenLines::default();
    let Some(mut reader) = SegmentReader::open(directory, number)? else {
        return Ok(lines);
    };
    while let Some((_, entry)) = reader.next_entry()? {
        let mut content = entry.content;
        match entry.kind {
            Kind::Heading => {}
            Kind::Carried(source) => lines.carry(entry.process, source, content),
            Kind::Bytes(source) => while lines.next(entry.process, source, &mut content).is_some() {},
            Kind::End(source) => drop(lines.end(entry.process, source)),
        }
    }
    Ok(lines)
}

/// Makes a file that begins with `bytes`: there is never a part of them under its name.
fn create(directory: &Path, number: u64, bytes: &[u8]) -> io::Result<File> {
    fs::create_dir_all(directory)?;
    let path = segment::path(directory, number);
    let unfinished = directory.join("next");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .open(&unfinished)?;
    let written = file
        .write_all_at(bytes, 0)
        .and_then(|()| fs::rename(&unfinished, &path));
    if let Err(error) = written {
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    Ok(file)
}
