//! How much of each stream is stored: what makes a piece that comes again known as such.

use protocol::guest::{Received, Stream};
use serde::{Deserialize, Serialize};

use super::entry::Source;

/// Streams that have ended are remembered for so many processes: a container that is restarted for ever has no end of them.
const PROCESSES_MAX: usize = 16;

/// How much of each stream of a container's processes is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Positions {
    streams: Vec<Position>,
    /// Processes below this that are not in the list have told everything.
    floor: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Position {
    process: u32,
    is_stderr: bool,
    offset: u64,
    has_ended: bool,
}

impl Positions {
    /// How many of the first bytes of a piece are stored already; none where nothing of it, not even its being the end, is new.
    #[must_use]
    pub fn stored(&self, process: u32, source: Source, offset: u64, len: usize) -> Option<usize> {
        let Some(position) = self.find(process, source) else {
            let is_known = self.streams.iter().any(|position| position.process == process);
            return (is_known || process >= self.floor).then_some(0);
        };
        let stored = usize::try_from(position.offset.saturating_sub(offset)).unwrap_or(usize::MAX);
        let is_old = position.has_ended || if len == 0 { stored > 0 } else { stored >= len };
        (!is_old).then_some(stored)
    }

    /// The stream is stored up to `offset`.
    pub fn advance(&mut self, process: u32, source: Source, offset: u64) {
        let position = self.entry(process, source);
        position.offset = position.offset.max(offset);
    }

    /// The stream is stored to its end.
    pub fn end(&mut self, process: u32, source: Source) {
        self.entry(process, source).has_ended = true;
        self.forget_old();
    }

    /// As the guest agent is told.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        let received = |position: &Position| Received {
            process: position.process,
            stream: position.source().stream(),
            offset: position.offset.saturating_add(u64::from(position.has_ended)),
        };
        self.streams.iter().map(received).collect()
    }

    /// The streams that are stored to their ends.
    #[must_use]
    pub fn ended(&self) -> Vec<(u32, Stream)> {
        let ended = self.streams.iter().filter(|position| position.has_ended);
        ended
            .map(|position| (position.process, position.source().stream()))
            .collect()
    }

    fn find(&self, process: u32, source: Source) -> Option<&Position> {
        self.streams
            .iter()
            .find(|position| position.process == process && position.source() == source)
    }

    fn entry(&mut self, process: u32, source: Source) -> &mut Position {
        let found = self
            .streams
            .iter()
            .position(|position| position.process == process && position.source() == source);
        let at = found.unwrap_or_else(|| {
            self.streams.push(Position {
                process,
                is_stderr: source == Source::Stderr,
                offset: 0,
                has_ended: false,
            });
            self.streams.len() - 1
        });
        &mut self.streams[at]
    }

    /// Drops the oldest processes all of whose streams have ended.
    fn forget_old(&mut self) {
        while self.streams.len() > 2 * PROCESSES_MAX {
            let lives = |process: u32| {
                self.streams
                    .iter()
                    .any(|position| position.process == process && !position.has_ended)
            };
            let newest = self.streams.iter().map(|position| position.process).max();
            let over = self.streams.iter().map(|position| position.process);
            let oldest = over
                .filter(|process| Some(*process) != newest && !lives(*process))
                .min();
            let Some(oldest) = oldest else { return };
            self.streams.retain(|position| position.process != oldest);
            self.floor = self.floor.max(oldest + 1);
        }
    }
}

impl Position {
    const fn source(&self) -> Source {
        if self.is_stderr { Source::Stderr } else { Source::Stdout }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_new_once() {
        let mut positions = Positions::default();
        assert_eq!(positions.stored(1, Source::Stdout, 0, 5), Some(0));
        positions.advance(1, Source::Stdout, 5);
        assert_eq!(positions.stored(1, Source::Stdout, 0, 5), None);
        assert_eq!(positions.stored(1, Source::Stdout, 3, 5), Some(2));
        assert_eq!(positions.stored(1, Source::Stderr, 0, 5), Some(0));
        assert_eq!(positions.stored(1, Source::Stdout, 5, 0), Some(0));
        positions.end(1, Source::Stdout);
        assert_eq!(positions.stored(1, Source::Stdout, 5, 0), None);
        assert_eq!(positions.received()[0].offset, 6);
    }

    #[test]
    fn many_restarts_take_no_more_memory() {
        let mut positions = Positions::default();
        for process in 0..1000 {
            for source in [Source::Stdout, Source::Stderr] {
                assert_eq!(positions.stored(process, source, 0, 1), Some(0));
                positions.advance(process, source, 1);
                positions.end(process, source);
            }
        }
        assert!(positions.streams.len() <= 2 * PROCESSES_MAX);
        assert_eq!(positions.stored(3, Source::Stdout, 0, 1), None);
        assert_eq!(positions.stored(1000, Source::Stdout, 0, 1), Some(0));
    }
}
