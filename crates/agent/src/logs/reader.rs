//! Reads a container's log as events, from any point, also while it is written.

use std::io;
use std::path::{Path, PathBuf};

use super::entry::{Kind, Source};
use super::lines::{Line, OpenLines};
use super::segment::{self, SegmentReader};

/// Where an event is in its log: ascending, and the same whenever it is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of the file.
    pub file: u64,
    /// Where the entry begins in which the event's line ends.
    pub offset: u64,
    /// How many lines end in that entry before.
    pub line: u32,
}

/// A line of output, or a part of a very long one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it is.
    pub position: Position,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Whose it is.
    pub process: u32,
    /// Which stream's.
    pub source: Source,
    /// The line.
    pub line: Line,
}

/// Reads events one by one.
#[derive(Debug)]
pub struct Reader {
    directory: PathBuf,
    file: Option<(u64, SegmentReader)>,
    lines: OpenLines,
    entry: Current,
    /// Whether the lines that were open when this file was begun are not known yet.
    takes_carried: bool,
    /// Events before this are passed over.
    from: Position,
}

/// The entry that is being cut into lines.
#[derive(Debug, Default)]
struct Current {
    /// Where it is, and the next line in it.
    position: Position,
    time_ms: u64,
    process: u32,
    source: Option<Source>,
    is_end: bool,
    content: Vec<u8>,
    at: usize,
}

impl Position {
    /// Right after the event that is here.
    #[must_use]
    pub const fn next(self) -> Self {
        Self {
            line: self.line.saturating_add(1),
            ..self
        }
    }

    /// After all events.
    pub const END: Self = Self {
        file: u64::MAX,
        offset: u64::MAX,
        line: u32::MAX,
    };
}

impl Reader {
    /// Reads from the oldest event that is at `from` or after it.
    #[must_use]
    pub fn new(directory: &Path, from: Position) -> Self {
        Self {
            directory: directory.to_owned(),
            file: None,
            lines: OpenLines::default(),
            entry: Current::default(),
            takes_carried: false,
            from,
        }
    }

    /// Reads from a point before which there is no event of `time_ms` or later: at most one file's events before that.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn since(directory: &Path, time_ms: u64) -> io::Result<Self> {
        let mut start = Position::default();
        for number in segment::numbers(directory)?.into_iter().rev() {
            start.file = number;
            let Some(mut file) = SegmentReader::open(directory, number)? else {
                break;
            };
            // Its time is that of the last event before it.
            match file.next_entry()? {
                Some((_, heading)) if heading.time_ms < time_ms => break,
                _ => {}
            }
        }
        Ok(Self::new(directory, start))
    }

    /// The point before which all events are older than `time_ms`.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn end(directory: &Path, time_ms: u64, is_over: bool) -> io::Result<Position> {
        let mut reader = Self::since(directory, time_ms)?;
        while let Some(event) = reader.next_or_open(is_over)? {
            if event.time_ms >= time_ms {
                return Ok(event.position);
            }
        }
        Ok(Position::END)
    }

    /// Reads from the last `count` events before `end`. Where `is_over`, nothing will be written any more and lines that are open count.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn last(directory: &Path, count: usize, end: Position, is_over: bool) -> io::Result<Self> {
        let mut start = None;
        let mut wanted = count;
        for number in segment::numbers(directory)?.into_iter().rev() {
            if number > end.file {
                continue;
            }
            let first = Position {
                file: number,
                ..Position::default()
            };
            let (found, file_end) = Self::new(directory, first).count_in(number, end, is_over)?;
            start = start.or(Some(file_end.min(end)));
            let mut reader = Self::new(directory, first);
            for _ in wanted..found {
                reader.next_before(end, is_over)?;
            }
            if wanted > 0
                && let Some(event) = reader.next_before(end, is_over)?
            {
                start = start.min(Some(event.position));
            }
            wanted = wanted.saturating_sub(found);
            if wanted == 0 {
                break;
            }
        }
        Ok(Self::new(directory, start.unwrap_or_default()))
    }

    /// The next event; none at the end, after which there may be more later.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn next_event(&mut self) -> io::Result<Option<Event>> {
        loop {
            let event = match self.next_line() {
                Some(event) => event,
                None if self.next_entry()? => continue,
                None => return Ok(None),
            };
            if event.position >= self.from {
                return Ok(Some(event));
            }
        }
    }

    /// As [`Self::next_event`], and then the lines that are open, where nothing will be written any more.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn next_or_open(&mut self, is_over: bool) -> io::Result<Option<Event>> {
        if let Some(event) = self.next_event()? {
            return Ok(Some(event));
        }
        loop {
            let Some(open) = is_over.then(|| self.lines.end_any()).flatten() else {
                return Ok(None);
            };
            let end = self.file.as_ref().map(|(number, file)| (*number, file.offset()));
            let (file, offset) = end.unwrap_or_default();
            if self.entry.position.offset != offset {
                self.entry.position = Position { file, offset, line: 0 };
            }
            let line = Line {
                bytes: open.bytes,
                is_ended: false,
            };
            let event = self.entry.event(open.process, open.source, line);
            if event.position >= self.from {
                return Ok(Some(event));
            }
        }
    }

    fn next_before(&mut self, end: Position, is_over: bool) -> io::Result<Option<Event>> {
        let event = self.next_or_open(is_over)?;
        Ok(event.filter(|event| event.position < end))
    }

    /// How many events there are in one file, before `end`, and where what was read ends.
    fn count_in(mut self, number: u64, end: Position, is_over: bool) -> io::Result<(usize, Position)> {
        let mut count = 0;
        while let Some(event) = self.next_before(end, is_over)? {
            if event.position.file != number {
                break;
            }
            count += 1;
        }
        let position = Position {
            file: number,
            offset: self.file.as_ref().map_or(0, |(_, file)| file.offset()),
            // Lines that were open were counted.
            line: if is_over { u32::MAX } else { 0 },
        };
        Ok((count, position))
    }

    /// The next line that ends in the entry.
    fn next_line(&mut self) -> Option<Event> {
        let source = self.entry.source?;
        let process = self.entry.process;
        let mut content = &self.entry.content[self.entry.at..];
        let line = if std::mem::take(&mut self.entry.is_end) {
            self.lines.end(process, source)
        } else {
            self.lines.next(process, source, &mut content)
        };
        self.entry.at = self.entry.content.len() - content.len();
        line.map(|line| self.entry.event(process, source, line))
    }

    /// Goes on to the next entry, where there is one.
    fn next_entry(&mut self) -> io::Result<bool> {
        loop {
            if self.take_entry()? {
                return Ok(true);
            }
            let Some(number) = self.following()? else {
                return Ok(false);
            };
            // This file may have got more before the next one was begun.
            if self.take_entry()? {
                return Ok(true);
            }
            let is_gapless = self.file.as_ref().is_some_and(|(last, _)| last + 1 == number);
            if !is_gapless {
                self.lines = OpenLines::default();
            }
            self.takes_carried = !is_gapless;
            // Where it was removed meanwhile, a later one follows.
            if let Some(file) = SegmentReader::open(&self.directory, number)? {
                self.file = Some((number, file));
            }
        }
    }

    /// The number of the file that comes next.
    fn following(&self) -> io::Result<Option<u64>> {
        let first = self.file.as_ref().map_or(self.from.file, |(number, _)| number + 1);
        let numbers = segment::numbers(&self.directory)?;
        Ok(numbers.into_iter().find(|number| *number >= first))
    }

    /// Takes the next entry with output from this file.
    fn take_entry(&mut self) -> io::Result<bool> {
        let Some((number, file)) = &mut self.file else {
            return Ok(false);
        };
        let current = &mut self.entry;
        while let Some((offset, entry)) = file.next_entry()? {
            current.time_ms = entry.time_ms;
            let (source, is_end) = match entry.kind {
                Kind::Heading => continue,
                Kind::Carried(source) => {
                    if self.takes_carried {
                        self.lines.carry(entry.process, source, entry.content);
                    }
                    continue;
                }
                Kind::Bytes(source) => (source, false),
                Kind::End(source) => (source, true),
            };
            current.position = Position {
                file: *number,
                offset,
                line: 0,
            };
            current.process = entry.process;
            current.source = Some(source);
            current.is_end = is_end;
            current.content.clear();
            current.content.extend_from_slice(entry.content);
            current.at = 0;
            return Ok(true);
        }
        Ok(false)
    }
}

impl Current {
    /// The event of a line that ends here.
    fn event(&mut self, process: u32, source: Source, line: Line) -> Event {
        let position = self.position;
        self.position.line += 1;
        Event {
            position,
            time_ms: self.time_ms,
            process,
            source,
            line,
        }
    }
}
