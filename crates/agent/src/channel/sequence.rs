//! Both directions' sequences: what was sent is kept and sent again until it is acknowledged, what arrives is put in order.

use std::collections::{BTreeMap, VecDeque};

/// The most messages that were sent and not acknowledged.
pub const WINDOW: usize = 64;

/// After so long without any acknowledgement the oldest message is sent again, in milliseconds; each further time after twice as long. Some
/// clients show what comes twice: one that is only slow must not get it.
const RESEND_MS: u64 = 500;

/// But at least so often.
const RESEND_MS_MAX: u64 = 2000;

/// A client that acknowledges nothing for so long is gone, in milliseconds.
const GONE_MS: u64 = 5 * 60 * 1000;

/// The most messages that arrived before their turn.
const EARLY_MAX: usize = 64;

/// What was sent.
#[derive(Debug, Default)]
pub struct Outgoing {
    next: u64,
    unacknowledged: VecDeque<Sent>,
    /// How many of them were not sent for the first time yet: the last ones.
    unsent: usize,
    /// Not before this is anything sent again: acknowledgements come (RFC 6298, 5.3).
    patience_ms: u64,
}

#[derive(Debug)]
struct Sent {
    sequence: u64,
    bytes: Vec<u8>,
    first_ms: u64,
    again_ms: u64,
    times: u32,
}

impl Outgoing {
    /// Whether a further message may be sent.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.unacknowledged.len() < WINDOW
    }

    /// The sequence number of the next message.
    #[must_use]
    pub const fn next_sequence(&self) -> u64 {
        self.next
    }

    /// Takes the next message.
    pub fn push(&mut self, bytes: Vec<u8>) {
        self.unacknowledged.push_back(Sent {
            sequence: self.next,
            bytes,
            first_ms: 0,
            again_ms: 0,
            times: 0,
        });
        self.next += 1;
        self.unsent += 1;
    }

    /// A message has arrived.
    pub fn acknowledge(&mut self, now_ms: u64, sequence: u64) {
        let sent = self.unacknowledged.len() - self.unsent;
        let found = self
            .unacknowledged
            .iter()
            .take(sent)
            .position(|sent| sent.sequence == sequence);
        if let Some(at) = found {
            self.unacknowledged.remove(at);
            self.patience_ms = now_ms.saturating_add(RESEND_MS);
        }
    }

    /// What is to be sent now. Of what was sent before, that is only the oldest: the client may have everything else.
    pub fn take_due(&mut self, now_ms: u64) -> Option<&[u8]> {
        let sent = self.unacknowledged.len() - self.unsent;
        let is_new = self.unsent > 0;
        let at = if is_new { sent } else { 0 };
        let message = self.unacknowledged.get_mut(at)?;
        if is_new {
            self.unsent -= 1;
            message.first_ms = now_ms;
        } else if now_ms < message.again_ms.max(self.patience_ms) {
            return None;
        }
        let wait_ms = (RESEND_MS << message.times.min(8)).min(RESEND_MS_MAX);
        message.again_ms = now_ms.saturating_add(wait_ms);
        message.times += 1;
        Some(&message.bytes)
    }

    /// When something is to be sent again.
    #[must_use]
    pub fn due_ms(&self) -> Option<u64> {
        let oldest = self.unacknowledged.front();
        oldest.map(|oldest| oldest.again_ms.max(self.patience_ms))
    }

    /// Whether the client has not answered for too long.
    #[must_use]
    pub fn is_abandoned(&self, now_ms: u64) -> bool {
        let sent = self.unacknowledged.len() > self.unsent;
        let oldest = self.unacknowledged.front().filter(|_| sent);
        oldest.is_some_and(|oldest| now_ms >= oldest.first_ms.saturating_add(GONE_MS))
    }

    /// Whether the client has everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.unacknowledged.is_empty()
    }
}

/// What becomes of a message that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is its turn.
    InTurn,
    /// It is kept for its turn.
    Early,
    /// It was there before.
    Again,
    /// There is no room for it: it has to come again.
    Refused,
}

/// What arrived.
#[derive(Debug)]
pub struct Incoming<T> {
    expected: u64,
    early: BTreeMap<u64, T>,
}

impl<T> Default for Incoming<T> {
    fn default() -> Self {
        Self {
            expected: 0,
            early: BTreeMap::new(),
        }
    }
}

impl<T> Incoming<T> {
    /// Takes what arrived; [`Self::next_in_turn`] then gives what has its turn.
    pub fn arrive(&mut self, sequence: u64, content: impl FnOnce() -> T) -> Arrival {
        let arrival = if sequence < self.expected || self.early.contains_key(&sequence) {
            return Arrival::Again;
        } else if sequence == self.expected {
            Arrival::InTurn
        } else if self.early.len() < EARLY_MAX {
            Arrival::Early
        } else {
            return Arrival::Refused;
        };
        self.early.insert(sequence, content());
        arrival
    }

    /// The next one that has its turn.
    pub fn next_in_turn(&mut self) -> Option<T> {
        let content = self.early.remove(&self.expected)?;
        self.expected += 1;
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_acknowledged_is_sent_again_and_less_and_less_often() {
        let mut outgoing = Outgoing::default();
        outgoing.push(vec![0]);
        outgoing.push(vec![1]);
        assert_eq!(outgoing.take_due(0), Some([0].as_slice()));
        assert_eq!(outgoing.take_due(0), Some([1].as_slice()));
        assert_eq!(outgoing.take_due(499), None);
        assert_eq!(outgoing.due_ms(), Some(500));
        assert_eq!(outgoing.take_due(500), Some([0].as_slice()));
        assert_eq!(outgoing.due_ms(), Some(1500));
        outgoing.acknowledge(1400, 0);
        assert_eq!(outgoing.due_ms(), Some(1900), "a client that answers gets time");
        assert_eq!(outgoing.take_due(1900), Some([1].as_slice()));
        outgoing.acknowledge(1900, 1);
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.due_ms(), None);
    }

    #[test]
    fn the_window_is_bounded_and_a_silent_client_is_given_up() {
        let mut outgoing = Outgoing::default();
        while outgoing.has_room() {
            outgoing.push(vec![]);
            outgoing.take_due(1);
        }
        assert_eq!(outgoing.next_sequence(), 64);
        outgoing.acknowledge(1, 5);
        assert!(outgoing.has_room());
        assert!(!outgoing.is_abandoned(GONE_MS));
        assert!(outgoing.is_abandoned(GONE_MS + 1));
    }

    #[test]
    fn what_arrives_is_put_in_order() {
        let mut incoming = Incoming::default();
        assert_eq!(incoming.arrive(1, || 'b'), Arrival::Early);
        assert_eq!(incoming.next_in_turn(), None);
        assert_eq!(incoming.arrive(1, || 'b'), Arrival::Again);
        assert_eq!(incoming.arrive(0, || 'a'), Arrival::InTurn);
        assert_eq!(
            (
                incoming.next_in_turn(),
                incoming.next_in_turn(),
                incoming.next_in_turn()
            ),
            (Some('a'), Some('b'), None)
        );
        assert_eq!(incoming.arrive(0, || 'a'), Arrival::Again);
        for sequence in 10..10 + EARLY_MAX as u64 {
            assert_eq!(incoming.arrive(sequence, || 'x'), Arrival::Early);
        }
        assert_eq!(incoming.arrive(9, || 'x'), Arrival::Refused);
        assert_eq!(incoming.arrive(2, || 'c'), Arrival::InTurn);
    }
}
