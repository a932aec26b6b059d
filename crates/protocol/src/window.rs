//! The two ends of one stream: what its sender keeps, and what its receiver takes.
//!
//! A [`Sender`] keeps what was not acknowledged, at most [`WINDOW_LEN`], and sends it again from wherever the receiver of a new session is. A
//! [`Receiver`] takes pieces only in order. The end of a stream counts as one byte behind its last.

use crate::frame::PIECE_LEN_MAX;
use crate::guest::WINDOW_LEN;

/// How much is taken before it is worth an acknowledgement: the sender has enough room meanwhile.
const WORTH_TELLING: u64 = WINDOW_LEN / 4;

/// [`WINDOW_LEN`] as the length of what is in memory.
const WINDOW: usize = 64 << 10;

/// What the other end must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// A piece that is not the next one.
    #[error("a piece begins at {offset}, and the next was to begin at {expected}")]
    OutOfOrder {
        /// Where it begins.
        offset: u64,
        /// What has arrived.
        expected: u64,
    },
    /// More than the window.
    #[error("more than {WINDOW_LEN} bytes were sent without an acknowledgement")]
    Overrun,
    /// Something behind the end.
    #[error("something comes behind the end")]
    Ended,
    /// An acknowledgement of what was never sent.
    #[error("{offset} bytes are acknowledged, and {sent} were sent")]
    NotSent {
        /// What is acknowledged.
        offset: u64,
        /// What was sent.
        sent: u64,
    },
    /// A receiver that goes back to what it had acknowledged.
    #[error("the stream is to go on at {offset}, and what comes before {first} is gone")]
    Gone {
        /// Where it is to go on.
        offset: u64,
        /// What is kept.
        first: u64,
    },
}

/// The end of a stream that sends.
#[derive(Debug, Default)]
pub struct Sender {
    /// What was not acknowledged. It has memory only while there is something.
    kept: Vec<u8>,
    /// How much is not kept any more: the bytes before, and the end where that is acknowledged too.
    first: u64,
    /// How much of the stream was sent in this session.
    sent: u64,
    /// How many bytes it has in all, once that is known.
    len: Option<u64>,
}

impl Sender {
    /// A stream of which the receiver has had this much.
    #[must_use]
    pub fn at(offset: u64) -> Self {
        Self {
            first: offset,
            sent: offset,
            ..Self::default()
        }
    }

    /// How many more bytes may be kept; none behind the end.
    #[must_use]
    pub fn room(&self) -> usize {
        if self.has_ended() {
            return 0;
        }
        WINDOW.saturating_sub(self.kept.len())
    }

    /// Keeps what `fill` appends, which is not to be more than [`Self::room`].
    pub fn fill<T>(&mut self, fill: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        fill(&mut self.kept)
    }

    /// Keeps as much of `bytes` as there is room for, and tells how much that is.
    pub fn push(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room());
        self.kept.extend_from_slice(&bytes[..len]);
        len
    }

    /// There will be no more.
    pub fn end(&mut self) {
        self.len.get_or_insert(self.first + len_of(&self.kept));
    }

    /// Whether there will be no more.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.len.is_some()
    }

    /// Whether the receiver has everything, the end included.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.len.is_some_and(|len| self.first > len)
    }

    /// The next piece to be sent: its offset and its content, which is empty for the end.
    #[must_use]
    pub fn next(&self) -> Option<(u64, &[u8])> {
        let from = usize::try_from(self.sent - self.first).unwrap_or(usize::MAX);
        match self.kept.get(from..) {
            Some([]) | None => (self.len == Some(self.sent)).then_some((self.sent, &[])),
            Some(rest) => Some((self.sent, &rest[..rest.len().min(PIECE_LEN_MAX)])),
        }
    }

    /// The next piece was sent, with so much content.
    pub fn was_sent(&mut self, len: usize) {
        self.sent += u64::try_from(len).unwrap_or(u64::MAX).max(1);
    }

    /// The receiver has this much for good.
    ///
    /// # Errors
    /// [`WindowError::NotSent`]
    pub fn acknowledge(&mut self, offset: u64) -> Result<(), WindowError> {
        if offset > self.sent {
            let sent = self.sent;
            return Err(WindowError::NotSent { offset, sent });
        }
        self.forget(offset);
        Ok(())
    }

    /// The receiver of a new session has this much; what comes behind it is sent again.
    ///
    /// # Errors
    /// [`WindowError::Gone`] and [`WindowError::NotSent`]; the stream then stays as it is.
    pub fn resume(&mut self, offset: u64) -> Result<(), WindowError> {
        let first = self.first;
        if offset < first {
            return Err(WindowError::Gone { offset, first });
        }
        // It cannot have more than was sent to its predecessors, which are forgotten.
        let sent = self.len.map_or(first + len_of(&self.kept), |len| len + 1);
        if offset > sent {
            return Err(WindowError::NotSent { offset, sent });
        }
        self.sent = offset;
        self.forget(offset);
        Ok(())
    }

    /// Sends all that is kept again.
    pub const fn rewind(&mut self) {
        self.sent = self.first;
    }

    fn forget(&mut self, offset: u64) {
        let Some(more) = offset.checked_sub(self.first) else {
            return;
        };
        self.first = offset;
        match usize::try_from(more) {
            Ok(len) if len < self.kept.len() => drop(self.kept.drain(..len)),
            _ => self.kept = Vec::new(),
        }
    }
}

/// The end of a stream that receives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receiver {
    received: u64,
    acknowledged: u64,
    has_ended: bool,
}

impl Receiver {
    /// A stream of which this much has been received before; a stream whose end was among it gets nothing more, which shows by itself.
    #[must_use]
    pub const fn at(offset: u64) -> Self {
        Self {
            received: offset,
            acknowledged: offset,
            has_ended: false,
        }
    }

    /// Takes a piece that begins at `offset` and has `len` bytes; none is the end.
    ///
    /// # Errors
    /// [`WindowError`]; nothing of the piece is taken then.
    pub fn accept(&mut self, offset: u64, len: usize) -> Result<(), WindowError> {
        if self.has_ended {
            return Err(WindowError::Ended);
        }
        if offset != self.received {
            let expected = self.received;
            return Err(WindowError::OutOfOrder { offset, expected });
        }
        let len = u64::try_from(len).unwrap_or(u64::MAX);
        let after = self.received.checked_add(len.max(1)).ok_or(WindowError::Overrun)?;
        if len > 0 && after - self.acknowledged > WINDOW_LEN {
            return Err(WindowError::Overrun);
        }
        self.received = after;
        self.has_ended = len == 0;
        Ok(())
    }

    /// How much has arrived; one more where the end has.
    #[must_use]
    pub const fn received(&self) -> u64 {
        self.received
    }

    /// Whether the end has arrived.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Whether the sender was told of everything.
    #[must_use]
    pub const fn is_acknowledged(&self) -> bool {
        self.acknowledged == self.received
    }

    /// Notes that everything before `offset` is where it belongs, and tells whether that is worth a message to the sender.
    ///
    /// # Errors
    /// [`WindowError::NotSent`]
    pub fn acknowledge(&mut self, offset: u64) -> Result<bool, WindowError> {
        if offset > self.received {
            let sent = self.received;
            return Err(WindowError::NotSent { offset, sent });
        }
        let worth = offset >= self.acknowledged + WORTH_TELLING
            || (self.has_ended && offset == self.received && offset > self.acknowledged);
        if worth {
            self.acknowledged = offset;
        }
        Ok(worth)
    }
}

fn len_of(bytes: &[u8]) -> u64 {
    // A usize has at most 64 bits.
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
