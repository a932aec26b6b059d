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
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What happens to a stream and its two ends.
    #[derive(Clone, Debug)]
    enum Step {
        Write(usize),
        End,
        Send,
        /// The receiver stores this share of what it has, in percent, and says so.
        Store(u8),
        /// The session ends; a new receiver goes on from what is stored.
        Resume,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (1..100_000_usize).prop_map(Step::Write),
            1 => Just(Step::End),
            8 => Just(Step::Send),
            4 => (0..=100_u8).prop_map(Step::Store),
            1 => Just(Step::Resume),
        ]
    }

    /// Both ends, and what has passed.
    #[derive(Default)]
    struct Both {
        sender: Sender,
        receiver: Receiver,
        written: Vec<u8>,
        arrived: Vec<u8>,
        stored: u64,
    }

    impl Both {
        fn write(&mut self, len: usize) {
            let at = self.written.len();
            let bytes: Vec<u8> = (at..at + len).map(|index| u8::try_from(index % 251).unwrap()).collect();
            let taken = self.sender.push(&bytes);
            self.written.extend_from_slice(&bytes[..taken]);
        }

        fn send(&mut self) -> bool {
            let Some((offset, content)) = self.sender.next() else {
                return false;
            };
            self.receiver.accept(offset, content.len()).unwrap();
            self.arrived.extend_from_slice(content);
            let len = content.len();
            self.sender.was_sent(len);
            true
        }

        fn store(&mut self, percent: u8) {
            let more = (self.receiver.received() - self.stored) * u64::from(percent) / 100;
            self.stored += more;
            if self.receiver.acknowledge(self.stored).unwrap() {
                self.sender.acknowledge(self.stored).unwrap();
            }
        }

        fn resume(&mut self) {
            self.sender.resume(self.stored).unwrap();
            self.receiver = Receiver::at(self.stored);
            self.arrived.truncate(usize::try_from(self.stored).unwrap());
        }

        fn perform(&mut self, step: &Step) {
            match step {
                Step::Write(len) => self.write(*len),
                Step::End => self.sender.end(),
                Step::Send => drop(self.send()),
                Step::Store(percent) => self.store(*percent),
                Step::Resume => self.resume(),
            }
            assert!(self.sender.kept.len() <= WINDOW);
        }
    }

    proptest! {
        #[test]
        fn everything_arrives_once_and_in_order_whatever_happens(steps in prop::collection::vec(step(), 0..60)) {
            let mut both = Both::default();
            for step in &steps {
                both.perform(step);
            }
            both.sender.end();
            while !both.sender.is_done() {
                while both.send() {}
                both.store(100);
            }
            prop_assert!(both.arrived == both.written);
            prop_assert!(both.sender.next().is_none() && both.sender.kept.capacity() == 0);
            prop_assert_eq!(both.stored, u64::try_from(both.written.len()).unwrap() + 1);
        }

        #[test]
        fn a_receiver_refuses_whatever_is_not_next(pieces in prop::collection::vec((0..40_u64, 0..20_usize), 0..40)) {
            let mut receiver = Receiver::default();
            for (offset, len) in pieces {
                let before = receiver;
                match receiver.accept(offset, len) {
                    Ok(()) => prop_assert!(offset == before.received() && receiver.received() > offset),
                    Err(_) => prop_assert_eq!(receiver, before),
                }
            }
        }
    }

    #[test]
    fn a_full_window_waits_for_an_acknowledgement() {
        let mut sender = Sender::default();
        assert_eq!(sender.push(&vec![0; 2 * WINDOW]), WINDOW);
        assert_eq!(sender.push(b"x"), 0);
        while let Some((_, content)) = sender.next() {
            let len = content.len();
            sender.was_sent(len);
        }
        sender.acknowledge(1).unwrap();
        assert_eq!(sender.push(b"xy"), 1);
    }

    #[test]
    fn a_sender_that_ignores_the_window_is_refused() {
        let mut receiver = Receiver::default();
        for piece in 0..2 {
            receiver.accept(piece * 32_768, PIECE_LEN_MAX).unwrap();
        }
        assert_eq!(receiver.accept(65_536, 1), Err(WindowError::Overrun));
        receiver.accept(65_536, 0).unwrap();
        assert_eq!(receiver.accept(65_537, 1), Err(WindowError::Ended));
        let last = Receiver::at(u64::MAX);
        assert_eq!({ last }.accept(u64::MAX, 1), Err(WindowError::Overrun));
    }

    #[test]
    fn what_was_not_sent_cannot_be_acknowledged() {
        let mut sender = Sender::default();
        sender.push(b"abc");
        let error = WindowError::NotSent { offset: 1, sent: 0 };
        assert_eq!(sender.acknowledge(1), Err(error));
        assert_eq!(sender.resume(4), Err(WindowError::NotSent { offset: 4, sent: 3 }));
        sender.resume(2).unwrap();
        assert_eq!(sender.next(), Some((2, b"c".as_slice())));
        assert_eq!(sender.resume(1), Err(WindowError::Gone { offset: 1, first: 2 }));
    }
}
