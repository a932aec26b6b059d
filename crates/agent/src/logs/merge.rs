//! The events of several containers, mixed by time.

use std::io;
use std::path::PathBuf;

use super::reader::{Event, Position, Reader};

/// Which events are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// Nothing before this, in milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Nothing at this time or later.
    pub until_ms: Option<u64>,
    /// Of that, only so many of the last.
    pub tail: Option<usize>,
}

/// Reads several logs at once.
#[derive(Debug)]
pub struct Merge {
    logs: Vec<Log>,
    range: Range,
}

#[derive(Debug)]
struct Log {
    reader: Reader,
    next: Option<Event>,
    /// All that is wanted was read.
    is_done: bool,
}

impl Merge {
    /// Reads the logs in these directories; where the second is set, nothing will be written to it any more.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn open(directories: &[(PathBuf, bool)], range: Range) -> io::Result<Self> {
        let mut merge = Self::begin(directories, range)?;
        if let Some(tail) = range.tail {
            let over: Vec<bool> = directories.iter().map(|(_, is_over)| *is_over).collect();
            let mut counted = 0;
            let mut counting = Self::begin(directories, range)?;
            while counting.next_event(&over)?.is_some() {
                counted += 1;
            }
            for _ in tail..counted {
                merge.next_event(&over)?;
            }
        }
        Ok(merge)
    }

    /// Reads from where each log's own last events begin.
    fn begin(directories: &[(PathBuf, bool)], range: Range) -> io::Result<Self> {
        let log = |(directory, is_over): &(PathBuf, bool)| {
            let reader = match (range.tail, range.until_ms, range.since_ms) {
                (Some(tail), None, _) => Reader::last(directory, tail, Position::END, *is_over)?,
                (Some(tail), Some(until_ms), _) => {
                    let end = Reader::end(directory, until_ms, *is_over)?;
                    Reader::last(directory, tail, end, *is_over)?
                }
                (None, _, since_ms) => Reader::since(directory, since_ms.unwrap_or(0))?,
            };
            Ok(Log {
                reader,
                next: None,
                is_done: false,
            })
        };
        let logs = directories.iter().map(log).collect::<io::Result<_>>()?;
        Ok(Self { logs, range })
    }

    /// The next event, and which log it is of; none at the end, after which there may be more later. `over` says of each log whether nothing
    /// will be written to it any more.
    ///
    /// # Errors
    /// Where a file cannot be read.
    pub fn next_event(&mut self, over: &[bool]) -> io::Result<Option<(usize, Event)>> {
        for (log, is_over) in self.logs.iter_mut().zip(over) {
            log.look(self.range, *is_over)?;
        }
        let times = self.logs.iter().enumerate();
        let times = times.filter_map(|(at, log)| Some((log.next.as_ref()?.time_ms, at)));
        let Some((_, at)) = times.min() else {
            return Ok(None);
        };
        Ok(self.logs[at].next.take().map(|event| (at, event)))
    }

    /// Whether there will be nothing more, whatever is written.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.logs.iter().all(|log| log.is_done)
    }
}

impl Log {
    /// Has the next event that is wanted, if it is there.
    fn look(&mut self, range: Range, is_over: bool) -> io::Result<()> {
        while self.next.is_none() && !self.is_done {
            let Some(event) = self.reader.next_or_open(is_over)? else {
                break;
            };
            if range.until_ms.is_some_and(|until_ms| event.time_ms >= until_ms) {
                self.is_done = true;
            } else if range.since_ms.is_none_or(|since_ms| event.time_ms >= since_ms) {
                self.next = Some(event);
            }
        }
        Ok(())
    }
}
