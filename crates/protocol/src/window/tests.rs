//! Tests of the two ends of a stream, each alone and both together.

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
